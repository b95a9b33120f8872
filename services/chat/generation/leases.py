"""This process's lease: it is taken, kept, and taken from others that died."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import structlog

from services.chat.generation.generations import Generations
from services.chat.model import Lease
from services.chat.ports import RecordStore
from services.kernel.errors import ServiceError
from services.kernel.ids import new_id

log = structlog.get_logger(__name__)

# Others wait for a lease that was not given up no longer than it lasts; a stop should not wait for a database that is gone.
_RELEASE_SECONDS = 2.0
_SHORTEST_ATTEMPT_SECONDS = 0.5
_PROMPT_RENEWALS = 2
# One statement adopts so many. What a start adopts, it ends within this time, or later.
_ADOPTED_AT_ONCE = 50
_START_SECONDS = 10.0


class LeaseKeeper:
    """Holds the lease that this process writes under.

    With `sole_owner` no other process can be at work on this store, so what was left running is ended at the start; otherwise when
    the leases of others have run out.
    """

    def __init__(self, store: RecordStore, ttl: timedelta, *, sole_owner: bool) -> None:
        self._store = store
        self._ttl = ttl
        self._sole_owner = sole_owner
        self._lease: Lease | None = None
        self._renewed = 0.0
        # How many renewals in a row were prompt.
        self._prompt = 0

    @property
    def lease(self) -> Lease:
        """The lease to write under."""
        if self._lease is None:
            raise RuntimeError("the lease is acquired before anything is written")
        return self._lease

    @property
    def unrenewed_seconds(self) -> float:
        """How long ago the store last confirmed the lease."""
        return time.monotonic() - self._renewed

    @property
    def is_kept(self) -> bool:
        """Whether the store confirmed the lease within its life; otherwise this process may be taken for dead."""
        return self.unrenewed_seconds <= self._ttl.total_seconds()

    async def acquire(self) -> None:
        """Take a lease. Raises Unavailable."""
        self._lease = await self._store.acquire(new_id(), self._ttl)
        self._renewed = time.monotonic()

    async def release(self) -> None:
        """Give the lease up, so that others need not wait for what is left."""
        if self._lease is not None:
            try:
                async with asyncio.timeout(_RELEASE_SECONDS):
                    await self._store.release(self._lease)
            except (ServiceError, TimeoutError) as error:
                log.warning(
                    "the lease could not be given up; it runs out by itself",
                    error=str(error) or "no answer in time",
                )

    async def take_over(self, generations: Generations) -> None:
        """End what processes that died have left running, as much as a start may wait for; `run` ends the rest. Raises Unavailable; what
        was adopted by then is an orphan of this process."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                while await self._end_some(generations):
                    pass
        except TimeoutError:
            log.warning("not all that was left running could be ended before the start; going on with it")

    async def _end_some(self, generations: Generations) -> bool:
        """Whether there was anything to end."""
        left = await self._store.take_over(self.lease, sole_owner=self._sole_owner, limit=_ADOPTED_AT_ONCE)
        for generation_id in left:
            await generations.end_adopted(generation_id)
        return bool(left)

    async def run(self, generations: Generations) -> None:
        """Keep the lease, cancel what others have asked to cancel, and take over from the dead, until cancelled. However much there is to
        take over, the lease does not wait for it."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep(generations))
            group.create_task(self._clear(generations))

    @property
    def _interval(self) -> float:
        return min(1.0, self._ttl.total_seconds() / 4)

    async def _keep(self, generations: Generations) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                before = self._renewed
                # One connection that hangs must not cost the lease: the next attempt takes another.
                async with asyncio.timeout(max(self._ttl.total_seconds() / 3, _SHORTEST_ATTEMPT_SECONDS)):
                    renewal = await self._store.renew(self.lease, self._ttl)
                if renewal is None:
                    self._prompt = 0
                    log.error("this process was taken for dead; its generations are ended by another one")
                    generations.interrupt_all()
                    await self.acquire()
                    continue
                self._renewed = time.monotonic()
                self._prompt = self._prompt + 1 if self._renewed - before <= 2 * self._interval else 0
                for generation_id in renewal.to_cancel:
                    generations.cancel_soon(generation_id)
                generations.watched_elsewhere(renewal.watched)
            except ServiceError as error:
                self._prompt = 0
                log.warning("the lease could not be renewed; trying again", error=error.message)
            except TimeoutError:
                self._prompt = 0
                log.warning("the lease could not be renewed; trying again", error="no answer in time")
            except Exception:
                self._prompt = 0
                log.exception("the lease could not be renewed; trying again")

    async def _clear(self, generations: Generations) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                while self._others_can_renew and await self._end_some(generations):
                    pass
                if self.is_kept:
                    await generations.end_orphans()
            except ServiceError as error:
                log.warning("what was left running could not be ended; trying again", error=error.message)
            except Exception:
                log.exception("what was left running could not be ended; trying again")

    @property
    def _others_can_renew(self) -> bool:
        """Whether the store has answered promptly for a while. While it was slow, it was slow to others as well: they get the time to renew
        before they are taken for dead."""
        return self._prompt > _PROMPT_RENEWALS and self.unrenewed_seconds <= 3 * self._interval
