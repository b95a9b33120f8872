"""A MongoDB whose users take turns: each command waits until it is told to go, so that a test decides on the order of all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from functools import partial
from typing import Any

from services.infra.mongo.client import Mongo

_SETTLING = 30

Taking = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]


class Turns:
    """Lets one command after the other through, that of the process which waits longest unless an order is to be followed."""

    def __init__(self) -> None:
        self._order: Iterator[int] = iter(())
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._idle = asyncio.Event()
        self._idle.set()

    def follow(self, order: Iterable[int]) -> None:
        """Whose turn it is from now on, each time; a process that does not wait then is left out."""
        self._order = iter(order)

    async def take(self, process: int, command: Callable[[], Awaitable[Any]]) -> Any:
        """Do a command of a process when it is its turn."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((process, turn))
        await turn
        try:
            return await command()
        finally:
            self._idle.set()

    async def play(self, *processes: Coroutine[Any, Any, None]) -> None:
        """Run processes to their ends."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(process) for process in processes]
            while not all(task.done() for task in tasks):
                await self._settle()
                if self._waiting:
                    self._idle.clear()
                    self._next().set_result(None)

    def _next(self) -> asyncio.Future[None]:
        wanted = next(self._order, None)
        index = next((i for i, (process, _) in enumerate(self._waiting) if process == wanted), 0)
        return self._waiting.pop(index)[1]

    async def _settle(self) -> None:
        """Wait until whoever goes on waits for a turn again."""
        await self._idle.wait()
        for _ in range(_SETTLING):
            await asyncio.sleep(0)


class InterleavedMongo:
    """In the place of a `Mongo` that is open: one process's way to it."""

    def __init__(self, mongo: Mongo, process: int, turns: Turns) -> None:
        self._mongo = mongo
        self._take = partial(turns.take, process)

    @property
    def database(self) -> Any:
        """As of Mongo."""
        return self

    def __getitem__(self, name: str) -> Any:
        return _Collection(self._mongo[name], self._take)


class _Collection:
    def __init__(self, collection: Any, take: Taking) -> None:
        self._collection = collection
        self._take = take

    def find(self, *arguments: Any, **options: Any) -> _Found:
        return _Found(self._collection.find(*arguments, **options), self._take)

    def __getattr__(self, name: str) -> Any:
        command = getattr(self._collection, name)

        async def do(*arguments: Any, **options: Any) -> Any:
            return await self._take(lambda: command(*arguments, **options))

        return do


class _Found:
    """A cursor, all of which is read in one turn."""

    def __init__(self, cursor: Any, take: Taking) -> None:
        self._cursor = cursor
        self._take = take

    def __getattr__(self, name: str) -> Any:
        def change(*arguments: Any) -> _Found:
            getattr(self._cursor, name)(*arguments)
            return self

        return change

    async def __aenter__(self) -> _Found:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._cursor.close()

    async def to_list(self) -> list[Any]:
        found: list[Any] = await self._take(self._cursor.to_list)
        return found

    async def __aiter__(self) -> AsyncIterator[Any]:
        for document in await self.to_list():
            yield document
