"""The ends of generations that leave no images: each is recorded, now or later, with what it used."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from services.capabilities.metering.meter import Meter
from services.capabilities.metering.model import UsageStatus
from services.image.generation.filing import Filer
from services.image.generation.usage import usage_event
from services.image.model import Generation, State
from services.image.ports import ImageStore
from services.kernel.errors import ServiceError
from services.kernel.failures import Failure
from services.kernel.ids import new_id

log = structlog.get_logger(__name__)

_LAST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class End:
    """How a generation ends. `remove`: objects of it may be in the object store, and are discarded, `again` times more."""

    generation: Generation
    state: State
    failure: Failure
    remove: bool
    again: int = 0


class Ends:
    """Has the store record them. `aclose` at the end."""

    def __init__(self, store: ImageStore, filer: Filer, meter: Meter) -> None:
        self._store = store
        self._filer = filer
        self._meter = meter
        # What the store has not taken yet is tried again as long as this process lives; there are no more than generations at work.
        self._waiting: dict[str, End] = {}
        self._undiscarded: set[str] = set()
        self._tasks: set[asyncio.Task[object]] = set()

    @property
    def waiting(self) -> frozenset[str]:
        """The ids of generations whose ends the store has not taken."""
        return frozenset(self._waiting)

    def record(self, end: End) -> None:
        """Have this recorded; it is kept until the store has taken it."""
        self._waiting[end.generation.generation_id] = end
        self._begin(self._record(end, asyncio.Event()))

    async def recorded(self, end: End) -> None:
        """The same, and return when it is, or can't be recorded now. Whoever is cancelled meanwhile changes nothing of it."""
        done = asyncio.Event()
        self._waiting[end.generation.generation_id] = end
        self._begin(self._record(end, done))
        await done.wait()

    def try_once(self, end: End) -> None:
        """Have the end of a generation recorded that the store may not even know. If it can't be told now, its owner renews it no more, and it
        is ended as any other that is silent."""
        self._begin(self._try(end))

    def discard(self, generation_id: str) -> None:
        """Have what this process has written for a generation removed that somebody else had ended by then."""
        self._undiscarded.add(generation_id)
        self._begin(self._discard(generation_id))

    async def take(self, end: End, *, silent: bool) -> bool:
        """Have the end of somebody else's generation recorded; with `silent` only if it has not been renewed in time. Raises Unavailable."""
        return await self._take(end, silent=silent)

    async def retry(self) -> None:
        """Try what the store has not taken. Raises Unavailable when it does not take this one either."""
        for end in list(self._waiting.values()):
            await self._take(end)
            self._waiting.pop(end.generation.generation_id, None)
        for generation_id in list(self._undiscarded):
            await self._store.discard(generation_id, 1)
            self._undiscarded.discard(generation_id)

    async def aclose(self) -> None:
        """Wait a moment for what is being recorded; whoever takes over ends the rest."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=_LAST_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work, name="end of a generation")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _record(self, end: End, done: asyncio.Event) -> None:
        try:
            if await self._try(end):
                self._waiting.pop(end.generation.generation_id, None)
        finally:
            done.set()

    async def _try(self, end: End) -> bool:
        """Whether the store has said something of it."""
        try:
            await self._take(end)
        except ServiceError:
            return False
        except Exception:
            log.exception(
                "the end of a generation can't be recorded", generation_id=end.generation.generation_id
            )
            return False
        return True

    async def _discard(self, generation_id: str) -> None:
        try:
            await self._store.discard(generation_id, 1)
        except ServiceError:
            return
        self._undiscarded.discard(generation_id)
        self._filer.soon()

    async def _take(self, end: End, *, silent: bool = False) -> bool:
        status = UsageStatus.CANCELLED if end.state is State.CANCELLED else UsageStatus.ERROR
        reason = "" if end.state is State.CANCELLED else end.failure.reason
        event = self._meter.taken(usage_event(end.generation, status, reason, 0, new_id(), datetime.now(UTC)))
        ended = await self._store.end(
            end.generation.generation_id,
            end.state,
            end.failure,
            event,
            free=True,
            remove=end.remove,
            again=end.again,
            silent=silent,
        )
        if ended:
            self._meter.stored(event)
            self._filer.soon()
        return ended
