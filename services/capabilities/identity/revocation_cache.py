"""What was revoked, in this process's memory: follows the feed for as long as the process lives."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import time
from collections.abc import Callable
from contextlib import aclosing
from heapq import heappop, heappush
from typing import Any, cast

from services.capabilities.identity.errors import RevocationsUnknown
from services.capabilities.identity.model import Proof
from services.capabilities.identity.ports import RevocationSource
from services.capabilities.identity.revocations import SILENT_SECONDS, Revocation, RevocationKind, Synced
from services.kernel.errors import Unavailable

_log = logging.getLogger(__name__)

_START_SECONDS = 2.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
# After a longer silence entries could have come and been forgotten again: then everything is read anew.
_RESUMABLE_SECONDS = 60.0
# How far this machine's clock may be ahead of those that made the tokens and the entries.
_SKEW_SECONDS = 60.0


class Known:
    """The entries that still matter: per kind, the position of the latest one about a session, person or key."""

    def __init__(self) -> None:
        self.position = 0
        # Up to this position entries may be missing because they expired. No token is left that they could be about, but an API key
        # that was looked up before may be.
        self.forgotten = 0
        self.sessions: dict[str, int] = {}
        self.users: dict[str, int] = {}
        self.deleted: dict[str, int] = {}
        self.api_keys: dict[str, int] = {}
        self._latest = {
            RevocationKind.SESSION: self.sessions,
            RevocationKind.USER: self.users,
            RevocationKind.USER_DELETED: self.deleted,
            RevocationKind.API_KEY: self.api_keys,
        }
        self._until: dict[tuple[RevocationKind, str], float] = {}
        self._expiries: list[tuple[float, int, RevocationKind, str]] = []

    def __len__(self) -> int:
        return len(self._until)

    def add(self, entry: Revocation) -> None:
        """Take an entry in. It is kept for as long as an earlier one about the same subject would have been, at least."""
        key = entry.kind, entry.subject_id
        until = max(entry.expire_time, self._until.get(key, 0.0))
        self._latest[entry.kind][entry.subject_id] = self.position = entry.position
        self._until[key] = until
        heappush(self._expiries, (until, entry.position, *key))

    def prune(self, now: float) -> None:
        """Forget what has expired at `now`, in Unix seconds."""
        while self._expiries and self._expiries[0][0] <= now:
            _, position, kind, subject = heappop(self._expiries)
            if self._latest[kind].get(subject) == position:
                del self._latest[kind][subject], self._until[kind, subject]
                self.forgotten = max(self.forgotten, position)


class RevocationCache:
    """The ports' Revocations, and a HealthCheck. `start` before use, `aclose` at the end.

    `allowance` is for how many seconds of silence credentials that could be revoked still pass; it takes SILENT_SECONDS to know a
    silence, so it is no less. Only Synced and heartbeats end a silence: they alone say that nothing is missing.
    """

    name = "revocations"

    def __init__(
        self,
        source: RevocationSource,
        allowance: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        pause: Callable[[float], float] = lambda longest: random.uniform(0.5, 1.0) * longest,  # noqa: S311 - it only spreads the work.
    ) -> None:
        self._source = source
        self._allowance = max(allowance, SILENT_SECONDS)
        self._clock = clock
        self._wall_clock = wall_clock
        self._pause = pause
        self._known = Known()
        self._heard_at = self._trusted_until = float("-inf")
        # Where the feed began again after it had gone back, and when that was noticed, in Unix seconds.
        self._restored = (sys.maxsize, float("-inf"))
        self._synced = asyncio.Event()
        self._anew = True
        self._task: asyncio.Task[None] | None = None
        self._lost = ""
        self.reconnects = 0
        """How often the feed was lost and asked for again."""

    @property
    def position(self) -> int:
        """See `ports.Revocations`."""
        return self._known.position

    @property
    def known(self) -> int:
        """How many sessions, people and keys are remembered."""
        return len(self._known)

    @property
    def silence(self) -> float:
        """For how many seconds nobody has said that nothing is missing; infinite before the first time."""
        return max(0.0, self._clock() - self._heard_at)

    def is_deleted(self, user_id: str) -> bool:
        """See `ports.Revocations`."""
        return user_id in self._known.deleted

    def is_revoked(self, proof: Proof) -> bool:
        """See `ports.Revocations`."""
        principal = proof.principal
        session_id, api_key_id = principal.session_id, principal.api_key_id
        if not session_id and not api_key_id:
            return False
        if self._clock() >= self._trusted_until:
            raise RevocationsUnknown
        known, revision = self._known, proof.revision
        begun, noticed = self._restored
        return (
            session_id in known.sessions
            or principal.user_id in known.deleted
            or known.users.get(principal.user_id, 0) > revision
            # Numbers of a feed that is no more say nothing about the one that took its place.
            or (revision > begun and proof.issued_at <= noticed)
            or (
                api_key_id != ""
                and (known.api_keys.get(api_key_id, 0) > revision or known.forgotten > revision)
            )
        )

    async def check(self) -> str | None:
        """See `services.kernel.health.HealthCheck`. The text stays the same while the state does."""
        silence = self.silence
        if silence <= SILENT_SECONDS:
            return None
        if not self._synced.is_set():
            return (
                "what was revoked has not been heard from Auth yet: login sessions and API keys are refused"
            )
        if silence < self._allowance:
            return f"cut off from Auth: login sessions and API keys are refused after {self._allowance:g} s of it"
        return (
            f"cut off from Auth for more than {self._allowance:g} s: login sessions and API keys are refused"
        )

    async def start(self) -> None:
        """Begin to follow the feed, and wait a moment for the first time that it is complete. If that does not come, the process is
        not ready until it does."""
        self._task = asyncio.create_task(self._follow(), name="revocation cache")
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._synced.wait()
        except TimeoutError:
            _log.warning("What was revoked can't be heard from Auth yet: %s", self._lost or "no answer")

    async def aclose(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        longest, told = _FIRST_PAUSE, False
        while True:
            heard_at = self._heard_at
            try:
                await self._hear()
                self._lost = "the feed has ended"
            except Unavailable as error:
                self._lost = error.message
            except Exception as error:
                # A defect on either side must not make this process deaf for good.
                if self._lost != repr(error):
                    _log.exception("The feed of revocations broke off")
                self._lost = repr(error)
            if self._heard_at != heard_at:
                longest, told = _FIRST_PAUSE, False
            if not told and self._synced.is_set() and self.silence > SILENT_SECONDS:
                told = True
                _log.warning("Cut off from Auth's revocations: %s", self._lost)
            await asyncio.sleep(self._pause(longest))
            longest = min(_LONGEST_PAUSE, longest * 2)
            self.reconnects += 1

    async def _hear(self) -> None:
        """Follow the feed until it is lost, or turns out not to be the one that was followed before."""
        resumed = not self._anew and self.silence < _RESUMABLE_SECONDS
        # What comes from the beginning is put beside what is known, and takes its place once it is complete.
        known = self._known if resumed else Known()
        complete = False
        items = cast("Any", self._source.watch(known.position if resumed else None))
        async with aclosing(items):
            async for item in items:
                if isinstance(item, Revocation):
                    if item.position <= known.position:
                        self._anew = True
                        return
                    known.add(item)
                elif isinstance(item, Synced):
                    if item.position < known.position:
                        self._anew = True
                        return
                    if not resumed:
                        self._take(known, item.position)
                    complete, self._anew = True, False
                    self._heard()
                elif complete:
                    self._heard()

    def _take(self, known: Known, position: int) -> None:
        if position < self._known.position:
            self._restored = (min(position, self._restored[0]), self._wall_clock())
            _log.warning(
                "The feed of revocations went back from %d to %d, as after a restored backup; it was read anew",
                self._known.position,
                position,
            )
        known.position = known.forgotten = position
        self._known = known

    def _heard(self) -> None:
        self._heard_at = self._clock()
        self._trusted_until = self._heard_at + self._allowance
        self._known.prune(self._wall_clock() - _SKEW_SECONDS)
        self._synced.set()
