"""Places that count calls, in memory, in PostgreSQL and in MongoDB, and time that passes for them when a test says so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from services.capabilities.limits.ddl import ddl
from services.capabilities.limits.model import Count
from services.capabilities.limits.ports import Counters
from services.capabilities.limits.stores.memory import MemoryCounters
from services.capabilities.limits.stores.mongo import MongoCounters
from services.capabilities.limits.stores.sql import SqlCounters
from services.infra.mongo.client import Mongo
from services.infra.postgres.database import Database

WINDOW = 60.0
Pass = Callable[[float], Awaitable[None]]


@dataclass
class Place:
    """Somebody who counts, and a way to let time pass for them."""

    counters: Counters
    pass_seconds: Pass


class Clock:
    """Time that passes when a test says so, beside its usual way."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


class StillClock(Clock):
    """Time that passes when a test says so alone."""

    def __call__(self) -> float:
        return self.ahead


@asynccontextmanager
async def in_memory() -> AsyncIterator[Place]:
    clock = StillClock()

    async def pass_seconds(seconds: float) -> None:
        clock.ahead += seconds

    yield Place(MemoryCounters(window=WINDOW, clock=clock), pass_seconds)


@asynccontextmanager
async def migrated(url: str) -> AsyncIterator[Database]:
    async with Database(url, min_size=1, max_size=4) as database:
        async with database.connection() as connection:
            await connection.execute("create schema if not exists place")
            await connection.execute("drop table if exists place.limits")
            for statement in ddl("place"):
                await connection.execute(statement.encode())
        yield database


@asynccontextmanager
async def counting(url: str, clock: Clock | None = None) -> AsyncIterator[SqlCounters]:
    """A replica that counts in a database that has the table."""
    async with Database(url, min_size=1, max_size=4) as database:
        # The answer is waited for as long as a busy machine may take.
        counters = SqlCounters(database, "place", window=WINDOW, answer_seconds=20, clock=clock or Clock())
        try:
            yield counters
        finally:
            await counters.aclose()


@asynccontextmanager
async def in_postgres(url: str) -> AsyncIterator[Place]:
    clock = Clock()
    async with migrated(url) as database, counting(url, clock) as counters:

        async def pass_seconds(seconds: float) -> None:
            # What began longer ago is what a later moment would find.
            clock.ahead += seconds
            async with database.connection() as connection:
                await connection.execute(
                    "update place.limits set began_at = began_at - make_interval(secs => %s)", (seconds,)
                )

        yield Place(counters, pass_seconds)


@asynccontextmanager
async def counting_in_mongo(url: str, clock: Clock | None = None) -> AsyncIterator[MongoCounters]:
    """A replica that counts in a MongoDB."""
    async with Mongo(url) as mongo:
        counters = MongoCounters(mongo, "place", window=WINDOW, answer_seconds=20, clock=clock or Clock())
        try:
            await counters.warm()
            yield counters
        finally:
            await counters.aclose()


@asynccontextmanager
async def in_mongo(url: str) -> AsyncIterator[Place]:
    clock = Clock()
    async with Mongo(url) as mongo, counting_in_mongo(url, clock) as counters:

        async def pass_seconds(seconds: float) -> None:
            clock.ahead += seconds
            async for found in mongo["place_limits"].find():
                earlier = found["ends_at"] - timedelta(seconds=seconds)
                await mongo["place_limits"].update_one({"_id": found["_id"]}, {"$set": {"ends_at": earlier}})

        yield Place(counters, pass_seconds)


async def take_many(counters: Counters, times: int, limit: int, caller: str = "ana") -> list[Count]:
    return await asyncio.gather(*(counters.take("chat", caller, limit) for _ in range(times)))


def let_in(counts: list[Count]) -> int:
    return sum(count.allowed for count in counts)
