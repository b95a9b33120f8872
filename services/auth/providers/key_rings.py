"""The keys that sign: from the database, where replicas share them, or from a file that the operator keeps."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from services.auth.model.signing_keys import KeyState, PublicKey
from services.auth.ports.signing_keys import SigningKeys
from services.auth.providers import keys
from services.capabilities.identity.propagation import RING_SECONDS
from services.kernel.errors import Unavailable
from services.kernel.startup import StartupError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Loaded:
    kid: str
    private: RSAPrivateKey = field(repr=False)
    published: Sequence[PublicKey]
    states: Mapping[str, KeyState]


class StoredKeyRing:
    """`ports.KeyRing` over `ports.SigningKeys`.

    Whoever asks for keys has the table looked at when that was not done for RING_SECONDS; only what changed is read and unsealed. See
    `identity.propagation` for what rests on it. While the store can't be reached the active key goes on signing, and nothing is
    published: others keep the set that they have, where an old one would pass for the present one.
    """

    name = "signing keys"

    def __init__(
        self, store: SigningKeys, sealing_key: bytes, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._sealing_key = sealing_key
        self._clock = clock
        self._loaded: _Loaded | None = None
        # When the last look that succeeded began: what it found is as old as that. And when the last one was over.
        self._looked_at = self._tried_at = float("-inf")
        self._looking = asyncio.Lock()

    async def start(self) -> None:
        """Load the keys, and make the first ones where there are none. Raises StartupError."""
        if not await self._store.states():
            maker = keys.SealedKeys(self._sealing_key)
            active, following = await asyncio.gather(maker.make(KeyState.ACTIVE), maker.make(KeyState.NEXT))
            await self._store.add_first(active, following)
        await self._look()
        if self._loaded is None:
            raise StartupError(
                "The database has signing keys and none of them is active.",
                "Run `antiphon signing-keys rotate`.",
            )

    async def signing_key(self) -> tuple[str, object]:
        """See `ports.KeyRing`."""
        await self._refresh()
        if self._loaded is None:
            raise Unavailable("there is no active signing key now; try again", retry_after=1.0)
        return self._loaded.kid, self._loaded.private

    async def published(self) -> Sequence[PublicKey]:
        """See `ports.PublicKeys`."""
        asked_at = self._clock()
        await self._refresh()
        if self._loaded is None or self._looked_at <= asked_at - RING_SECONDS:
            raise Unavailable("the signing keys can't be read now; try again", retry_after=1.0)
        return self._loaded.published

    async def check(self) -> str | None:
        """See `services.kernel.health.HealthCheck`."""
        return None if self._loaded is not None else "no active signing key was loaded"

    async def _refresh(self) -> None:
        if self._is_fresh():
            return
        async with self._looking:
            if self._is_fresh():
                return
            try:
                await self._look()
            except (Unavailable, StartupError) as error:
                # Whether the database answers is told by its own check.
                self._tried_at = self._clock()
                _log.warning("The signing keys can't be read again: %s", error)

    def _is_fresh(self) -> bool:
        return self._clock() - self._tried_at < RING_SECONDS

    async def _look(self) -> None:
        begun = self._clock()
        loaded = self._loaded
        if loaded is None or await self._store.states() != loaded.states:
            self._loaded = await self._load()
        self._looked_at = self._tried_at = begun

    async def _load(self) -> _Loaded | None:
        stored = await self._store.all()
        active = next((key for key in stored if key.state is KeyState.ACTIVE), None)
        if active is None:
            return None
        before = self._loaded
        if before is not None and before.kid == active.kid:
            private = before.private
        else:
            private = await asyncio.to_thread(keys.unseal, active, self._sealing_key)
        published = [keys.describe(keys.read_public(key.public_pem)) for key in stored]
        return _Loaded(active.kid, private, published, {key.kid: key.state for key in stored})


class FileKeyRing:
    """`ports.KeyRing` over one key from a file; the operator rotates it by starting with another.

    `others` are published beside it: the key that will sign after the next start, and those that signed before the last ones.
    """

    name = "signing keys"

    def __init__(self, private: RSAPrivateKey, others: Sequence[RSAPublicKey] = ()) -> None:
        self._private = private
        own = keys.describe(private.public_key())
        self._kid = own.kid
        # By id, as one of the others may well be its own.
        self._published = {key.kid: key for key in (own, *map(keys.describe, others))}

    async def signing_key(self) -> tuple[str, object]:
        """See `ports.KeyRing`."""
        return self._kid, self._private

    async def published(self) -> Sequence[PublicKey]:
        """See `ports.PublicKeys`."""
        return list(self._published.values())

    async def check(self) -> str | None:
        """See `services.kernel.health.HealthCheck`: a key in memory works."""
        return None
