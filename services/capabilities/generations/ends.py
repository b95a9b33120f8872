"""The ends of generations without a result: each is recorded, now or later, with what it used."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic

import structlog

from services.capabilities.generations.model import End, G
from services.capabilities.generations.ports import Ender
from services.kernel.errors import ServiceError

log = structlog.get_logger(__name__)

_LAST_SECONDS = 5.0


class Ends(Generic[G]):
    """Has the service record them. `aclose` at the end."""

    def __init__(self, ender: Ender[G]) -> None:
        self._ender = ender
        # What the store has not taken yet is tried again as long as this process lives; there are no more than generations at work.
        self._waiting: dict[str, End[G]] = {}
        self._undiscarded: set[str] = set()
        self._tasks: set[asyncio.Task[object]] = set()

    @property
    def waiting(self) -> frozenset[str]:
        """The ids of generations whose ends the store has not taken."""
        return frozenset(self._waiting)

    def record(self, end: End[G]) -> None:
        """Have this recorded; it is kept until the store has taken it."""
        self._waiting[end.generation.generation_id] = end
        self._begin(self._record(end, asyncio.Event()))

    async def recorded(self, end: End[G]) -> None:
        """The same, and return when it is, or can't be recorded now. Whoever is cancelled meanwhile changes nothing of it."""
        done = asyncio.Event()
        self._waiting[end.generation.generation_id] = end
        self._begin(self._record(end, done))
        await done.wait()

    def try_once(self, end: End[G]) -> None:
        """Have the end of a generation recorded that the store may not even know. If it can't be told now, its owner renews it no more, and it
        is ended as any other that is silent."""
        self._begin(self._try(end))

    def discard(self, generation_id: str) -> None:
        """Have what this process has written for a generation removed that somebody else had ended by then."""
        self._undiscarded.add(generation_id)
        self._begin(self._discard(generation_id))

    async def take(self, end: End[G], *, silent: bool) -> bool:
        """Have the end of somebody else's generation recorded; with `silent` only if it has not been renewed in time. Raises Unavailable."""
        return await self._ender.ended(end, silent=silent)

    async def retry(self) -> None:
        """Try what the store has not taken. Raises Unavailable when it does not take this one either."""
        for end in list(self._waiting.values()):
            await self._ender.ended(end, silent=False)
            self._waiting.pop(end.generation.generation_id, None)
        for generation_id in list(self._undiscarded):
            await self._ender.discarded(generation_id)
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

    async def _record(self, end: End[G], done: asyncio.Event) -> None:
        try:
            if await self._try(end):
                self._waiting.pop(end.generation.generation_id, None)
        finally:
            done.set()

    async def _try(self, end: End[G]) -> bool:
        """Whether the store has said something of it."""
        try:
            await self._ender.ended(end, silent=False)
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
            await self._ender.discarded(generation_id)
        except ServiceError:
            return
        self._undiscarded.discard(generation_id)
