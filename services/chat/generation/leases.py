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
_PROMPT_RENEWALS = 2


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
        """End what processes that died have left running. Raises Unavailable; what was adopted by then is an orphan of this process."""
        for generation in await self._store.take_over(self.lease, sole_owner=self._sole_owner):
            await generations.end_adopted(generation)

    async def run(self, generations: Generations) -> None:
        """Keep the lease, cancel what others have asked to cancel, and take over from the dead, until cancelled."""
        interval = min(1.0, self._ttl.total_seconds() / 4)
        prompt = 0
        while True:
            await asyncio.sleep(interval)
            asked, prompt = time.monotonic(), prompt + 1
            try:
                renewal = await self._store.renew(self.lease, self._ttl)
                if renewal is None:
                    log.error("this process was taken for dead; its generations are ended by another one")
                    generations.interrupt_all()
                    await self.acquire()
                    continue
                self._renewed = time.monotonic()
                for generation_id in renewal.to_cancel:
                    generations.cancel_soon(generation_id)
                generations.watched_elsewhere(renewal.watched)
                if self._renewed - asked > interval:
                    prompt = 0
                # While the store was slow, it was slow to others as well: they get the time to renew before they are taken for dead.
                if prompt > _PROMPT_RENEWALS:
                    await self.take_over(generations)
                await generations.end_orphans()
            except ServiceError as error:
                prompt = 0
                log.warning("the lease could not be renewed; trying again", error=error.message)
            except Exception:
                prompt = 0
                log.exception("the lease could not be renewed; trying again")
