"""Which generations are whose: those of this process are renewed, and those of processes that are gone are ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Generic

import structlog

from services.capabilities.generations.ends import Ends
from services.capabilities.generations.errors import GenerationInterrupted
from services.capabilities.generations.model import End, G, State
from services.capabilities.generations.ports import GenerationStore
from services.kernel.errors import ServiceError
from services.kernel.failures import failure_of

log = structlog.get_logger(__name__)

_ENDED_AT_ONCE = 100
_START_SECONDS = 10.0
# So many renewals in a row have to be prompt before others are taken for dead.
_PROMPT_RENEWALS = 2
_SHORTEST_ATTEMPT_SECONDS = 1.0


class Leases(Generic[G]):
    """Keeps and ends generations. Run `run` as long as the service runs."""

    def __init__(
        self,
        store: GenerationStore[G],
        ends: Ends[G],
        known: Callable[[], Collection[str]],
        owner_id: str,
        ttl: timedelta,
        what: str,
    ) -> None:
        """`known` are the ids of the generations that this process is at work on; `what` they make, as the log says it."""
        self._store = store
        self._ends = ends
        self._known = known
        self._owner_id = owner_id
        self._ttl = ttl
        self._log = log.bind(what=what)
        self._renewed = time.monotonic()
        self._prompt = 0

    async def run(self) -> None:
        """Keep and end, until cancelled. However much there is to end, what is kept does not wait for it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep())
            tasks.create_task(self._clear())

    async def take_over(self, *, alone: bool = False) -> int:
        """End some generations of processes that are gone; `alone`: of all others, since there can be none. Returns how many there were; 0
        when none is left. Raises Unavailable."""
        left = await self._store.silent(_ENDED_AT_ONCE, but=self._owner_id if alone else "")
        known = self._known()
        gone = [one for one in left if one.generation_id not in known]
        for generation in gone:
            failure = failure_of(GenerationInterrupted(generation.generation_id))
            end = End(generation, State.INTERRUPTED, failure, remove=True, again=1)
            # Its owner may be back in this moment.
            if await self._ends.take(end, silent=not alone):
                self._log.warning(
                    "a generation was interrupted: its server stopped", generation_id=generation.generation_id
                )
        return len(gone)

    async def start_alone(self) -> None:
        """End what an earlier process has left, as much of it as a start may wait for; `run` ends the rest. Raises Unavailable."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                while await self.take_over(alone=True):
                    pass
        except TimeoutError:
            self._log.warning(
                "not all generations that were at work could be ended before the start; going on with it"
            )

    @property
    def _interval(self) -> float:
        return self._ttl.total_seconds() / 4

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            before = self._renewed
            try:
                # One connection that hangs must not cost the lease: the next attempt takes another.
                async with asyncio.timeout(max(self._ttl.total_seconds() / 3, _SHORTEST_ATTEMPT_SECONDS)):
                    await self._store.renew(self._owner_id, self._ttl, self._known())
            except (ServiceError, TimeoutError) as error:
                self._prompt = 0
                self._log.debug("leases can't be renewed now", error=str(error))
            except Exception:
                self._prompt = 0
                self._log.exception("leases can't be renewed")
            else:
                self._renewed = time.monotonic()
                self._prompt = self._prompt + 1 if self._renewed - before <= 2 * self._interval else 0

    async def _clear(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self._ends.retry()
                # While the store was slow, it was slow to others as well: they get the time to renew before they are taken for dead.
                while self._prompt > _PROMPT_RENEWALS and await self.take_over():
                    pass
            except ServiceError as error:
                self._log.debug("generations that are silent can't be ended now", error=error.message)
            except Exception:
                self._log.exception("generations that are silent can't be ended")
