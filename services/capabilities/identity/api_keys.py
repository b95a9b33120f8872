"""API keys that Auth has confirmed, remembered for a while."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

from services.capabilities.identity.errors import ApiKeyInvalid
from services.capabilities.identity.model import API_KEY_FORM, Proof
from services.capabilities.identity.ports import ApiKeyVerifier, Revocations
from services.kernel.errors import Unavailable

RENEW_SECONDS = 60.0
"""A key that is in use is looked up this often, so that its last use is noted."""

REFUSED_SECONDS = 5.0
"""How long a refused key is refused without asking again."""

_RETRY_SECONDS = 2.0
# A key that is known is not kept waiting for an Auth that does not answer.
_PATIENCE_SECONDS = 0.5
_REFUSED = 1000
_LOOKUPS = 320
# Places that keys nobody knows can't take: whoever makes keys up must not keep those that are in use from being looked up again.
_FOR_HELD = 64
_ATTEMPTS = 3


class KnownApiKeys:
    """Asks a verifier, and remembers what it said until an entry in the feed of revocations says that it may have changed.

    A proof that is due for renewal goes on passing while the verifier is unavailable, for as long as `revocations` allows. Lookups
    of one key at the same time are one lookup.
    """

    def __init__(
        self,
        verifier: ApiKeyVerifier,
        revocations: Revocations,
        *,
        remembered: int,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._verifier = verifier
        self._revocations = revocations
        self._remembered = remembered
        self._clock = clock
        self._wall_clock = wall_clock
        # By digest, so that memory holds no key that could be used: with the proof, when to look it up again.
        self._held: OrderedDict[bytes, tuple[float, Proof]] = OrderedDict()
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._lookups: dict[bytes, asyncio.Task[Proof]] = {}

    async def proof(self, key: str) -> Proof:
        """Whose key it is. Raises ApiKeyInvalid, and Unavailable when that can't be told."""
        if not API_KEY_FORM.fullmatch(key):
            raise ApiKeyInvalid
        digest = hashlib.sha256(key.encode()).digest()
        now = self._clock()
        held = self._held.get(digest)
        if held is not None:
            if not self._passes(held[1]):
                del self._held[digest]
            elif now < held[0]:
                self._held.move_to_end(digest)
                return held[1]
        if now < self._refused.get(digest, 0.0):
            raise ApiKeyInvalid
        return await self._renewed(key, digest)

    async def fresh(self, key: str) -> Proof:
        """As `proof`, and nothing is answered from memory."""
        if not API_KEY_FORM.fullmatch(key):
            raise ApiKeyInvalid
        for _ in range(_ATTEMPTS):
            proof = await self._ask(key)
            if not self._revocations.is_revoked(proof):
                return proof
        raise _unsettled()

    async def aclose(self) -> None:
        """End the lookups that are under way."""
        lookups = list(self._lookups.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    async def _renewed(self, key: str, digest: bytes) -> Proof:
        for _ in range(_ATTEMPTS):
            known = digest in self._held
            try:
                lookup = self._lookup(key, digest, _LOOKUPS if known else _LOOKUPS - _FOR_HELD)
                # Whoever asked first may be cancelled; the others wait for the same answer.
                await asyncio.wait((lookup,), timeout=_PATIENCE_SECONDS if known else None)
                if lookup.done():
                    proof = lookup.result()
                else:
                    raise Unavailable("Auth takes long to say whose API key this is; try again.")
            except Unavailable:
                held = self._held.get(digest)
                if held is None or not self._passes(held[1]):
                    raise
                return held[1]
            # One that began before the entry that it should know of is of no use.
            if not self._revocations.is_revoked(proof):
                return proof
            self._held.pop(digest, None)
        raise _unsettled()

    def _passes(self, proof: Proof) -> bool:
        expires = proof.principal.expire_time
        return not (expires and self._wall_clock() >= expires) and not self._revocations.is_revoked(proof)

    def _lookup(self, key: str, digest: bytes, places: int) -> asyncio.Task[Proof]:
        lookup = self._lookups.get(digest)
        if lookup is None:
            if len(self._lookups) >= places:
                raise Unavailable("Too many API keys are being looked up now; try again.")
            lookup = asyncio.create_task(self._look_up(key, digest), name="API key lookup")
            self._lookups[digest] = lookup
            lookup.add_done_callback(lambda done: self._ended(digest, done))
        return lookup

    def _ended(self, digest: bytes, lookup: asyncio.Task[Proof]) -> None:
        del self._lookups[digest]
        if not lookup.cancelled():
            # Perhaps nobody waits for it any more.
            lookup.exception()

    async def _look_up(self, key: str, digest: bytes) -> Proof:
        try:
            proof = await self._ask(key)
        except ApiKeyInvalid:
            self._held.pop(digest, None)
            self._refused[digest] = self._clock() + REFUSED_SECONDS
            self._refused.move_to_end(digest)
            while len(self._refused) > _REFUSED:
                self._refused.popitem(last=False)
            raise
        except Unavailable:
            held = self._held.get(digest)
            if held is not None:
                self._held[digest] = (self._clock() + _RETRY_SECONDS, held[1])
            raise
        self._refused.pop(digest, None)
        self._held[digest] = (self._clock() + RENEW_SECONDS, proof)
        self._held.move_to_end(digest)
        while len(self._held) > self._remembered:
            self._held.popitem(last=False)
        return proof

    async def _ask(self, key: str) -> Proof:
        # The position first: what is revoked while the answer is on its way comes after it.
        revision, now = self._revocations.position, self._wall_clock()
        principal = dataclasses.replace(await self._verifier.verify(key), revision=revision)
        return Proof(principal, now, revision)


def _unsettled() -> Unavailable:
    return Unavailable("This API key is being changed; try again.")
