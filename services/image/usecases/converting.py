"""Conversions: each is done once for all who ask for it at the same time, a few at once, fewer for one caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from services.image.errors import CodecsOverloaded

_MOST = 256
_MOST_OF_ONE = 64
# Of what is ready and being sent. What is at work comes on top, a few at once.
_MOST_BYTES = 256 * 1024**2
_MOST_BYTES_OF_ONE = 64 * 1024**2
_TURN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Converted:
    """An image in the form that was asked for, and its SHA-256 in hexadecimal digits."""

    data: bytes
    sha256: str


@dataclass(slots=True)
class _Work:
    """A conversion that waits, is at work, or is read by somebody."""

    caller: str
    task: asyncio.Task[Converted]
    readers: int = 0

    @property
    def failed(self) -> bool:
        return self.task.done() and (self.task.cancelled() or self.task.exception() is not None)

    @property
    def held_bytes(self) -> int:
        return len(self.task.result().data) if self.task.done() and not self.failed else 0


class Conversions:
    """The conversions of a process. What it holds is bounded: 256 of them, 64 of one caller, and 256 MiB of what is ready and not yet sent,
    64 MiB of one caller, beside what is at work; more are refused."""

    def __init__(self, at_once: int) -> None:
        """At most `at_once` are at work, half as many of one caller."""
        self._turns = asyncio.Semaphore(at_once)
        self._turns_of_one = max(1, at_once // 2)
        self._turns_of: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._works: dict[Hashable, _Work] = {}

    @asynccontextmanager
    async def made(
        self, key: Hashable, caller: str, make: Callable[[], Coroutine[Any, Any, Converted]]
    ) -> AsyncIterator[Converted]:
        """What `make` gives, held while the block runs; it is not called when the same is made already, and is cancelled when nobody waits
        for it any more. Raises what it raises, and CodecsOverloaded."""
        work = self._works.get(key)
        if work is None or work.failed:
            self._look(caller)
            work = self._works[key] = _Work(caller, asyncio.create_task(self._do(caller, make)))
        work.readers += 1
        try:
            yield await asyncio.shield(work.task)
        finally:
            work.readers -= 1
            if not work.readers:
                if self._works.get(key) is work:
                    del self._works[key]
                work.task.cancel()
                await asyncio.gather(work.task, return_exceptions=True)

    def _look(self, caller: str) -> None:
        works = self._works.values()
        own = [work for work in works if work.caller == caller]
        if len(works) >= _MOST or len(own) >= _MOST_OF_ONE:
            raise CodecsOverloaded
        self._look_at_bytes(caller)

    def _look_at_bytes(self, caller: str) -> None:
        works = self._works.values()
        if (
            sum(work.held_bytes for work in works) >= _MOST_BYTES
            or sum(work.held_bytes for work in works if work.caller == caller) >= _MOST_BYTES_OF_ONE
        ):
            raise CodecsOverloaded

    async def _do(self, caller: str, make: Callable[[], Coroutine[Any, Any, Converted]]) -> Converted:
        turns = self._turns_of.setdefault(caller, asyncio.Semaphore(self._turns_of_one))
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(_TURN_SECONDS):
                    # That among the caller's own comes first: who asks for many stands in nobody else's way.
                    await held.enter_async_context(turns)
                    await held.enter_async_context(self._turns)
            except TimeoutError:
                raise CodecsOverloaded from None
            # Others may have become ready meanwhile whose readers take their time.
            self._look_at_bytes(caller)
            return await make()
