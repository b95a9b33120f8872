"""A MongoDB where something happens around a command: a pause, another's writes, a failure that no server for tests plays."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from services.infra.mongo.client import Mongo

Meddling = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]


class MeddledMongo:
    """In the place of a `Mongo` that is open. `meddlings` names collections and commands: the first such command is left to what stands
    there, which is told how to do it. `asked` are the commands and their first two arguments."""

    def __init__(self, mongo: Mongo, meddlings: Mapping[tuple[str, str], Meddling]) -> None:
        self.asked: list[tuple[str, str, tuple[Any, ...]]] = []
        self._mongo = mongo
        self._meddlings = dict(meddlings)

    @property
    def database(self) -> Any:
        """As of Mongo."""
        return self

    def __getitem__(self, name: str) -> Any:
        return _Collection(self._mongo[name], name, self)

    async def do(self, name: str, command: str, done: Callable[[], Awaitable[Any]]) -> Any:
        """A command that somebody gives."""
        meddling = self._meddlings.pop((name, command), None)
        return await done() if meddling is None else await meddling(done)


class Pause:
    """Holds commands until `over` is set."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.over = asyncio.Event()

    async def __call__(self, done: Callable[[], Awaitable[Any]]) -> Any:
        self.reached.set()
        await self.over.wait()
        return await done()


class _Collection:
    def __init__(self, collection: Any, name: str, mongo: MeddledMongo) -> None:
        self._collection = collection
        self._name = name
        self._mongo = mongo

    def find(self, *arguments: Any, **options: Any) -> Any:
        self._mongo.asked.append((self._name, "find", arguments[:2]))
        return self._collection.find(*arguments, **options)

    def __getattr__(self, command: str) -> Any:
        done = getattr(self._collection, command)

        async def do(*arguments: Any, **options: Any) -> Any:
            self._mongo.asked.append((self._name, command, arguments[:2]))
            return await self._mongo.do(self._name, command, lambda: done(*arguments, **options))

        return do
