"""What every Tails promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta

import pytest

from services.chat.ports import RecordStore, Tails
from services.chat.stores.mongo.records import MongoRecordStore
from services.chat.stores.mongo.tails import MongoTails
from services.chat.stores.records import SqlRecordStore
from services.chat.stores.tails import SqlTails
from services.infra.mongo.client import Mongo
from services.infra.postgres.database import Database
from services.kernel.ids import new_id
from tests.fakes.chat_memory import MemoryRecordStore
from tests.fakes.chat_records import TTL, begun, new_generation
from tests.fakes.served_suite import until

Stores = tuple[Tails, RecordStore]

MONGO = pytest.param("mongo", marks=pytest.mark.peers)


@pytest.fixture(params=["memory", "postgres", MONGO])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    """Tails, and the records whose owners learn of watches."""
    if request.param == "memory":
        store = MemoryRecordStore()
        yield store, store
        return
    if request.param == "mongo":
        async with Mongo(request.getfixturevalue("mongo_url")) as mongo:
            yield MongoTails(mongo), MongoRecordStore(mongo)
        return
    async with Database(request.getfixturevalue("migrated_url")) as database:
        yield SqlTails(database), SqlRecordStore(database)


@pytest.fixture
def tails(stores: Stores) -> Tails:
    return stores[0]


async def test_who_watches_is_known_until_it_watches_no_more(tails: Tails) -> None:
    here, there = new_id(), new_id()
    one, two, three = new_id(), new_id(), new_id()
    await tails.watch(here, [one, two], TTL)
    await tails.watch(there, [one], TTL)
    assert await tails.watched([one, two, three]) == {one, two}
    await tails.unwatch(here, one)
    assert await tails.watched([one, two]) == {one, two}
    await tails.unwatch(there, one)
    await tails.unwatch(there, one)
    assert await tails.watched([one, two]) == {two}
    assert await tails.watched([]) == frozenset()


async def test_a_watch_runs_out_unless_it_is_repeated(tails: Tails) -> None:
    here, kept, left = new_id(), new_id(), new_id()
    await tails.watch(here, [kept, left], timedelta(seconds=0.2))
    await tails.watch(here, [kept], TTL)

    async def only_the_repeated() -> bool:
        return await tails.watched([kept, left]) == {kept}

    await until(only_the_repeated)


async def test_nothing_to_watch_or_to_announce_is_no_error(tails: Tails) -> None:
    await tails.watch(new_id(), [], TTL)
    await tails.announce([])


async def test_many_watch_and_leave_at_once(tails: Tails) -> None:
    ids, watchers = [new_id() for _ in range(50)], [new_id() for _ in range(8)]
    async with asyncio.timeout(20):
        await asyncio.gather(
            *(tails.watch(watcher, ids[::step], TTL) for watcher in watchers for step in (1, -1, 1))
        )
        assert await tails.watched(ids) == set(ids)
        await asyncio.gather(*(tails.unwatch(watcher, id_) for watcher in watchers[:4] for id_ in ids))
    assert await tails.watched(ids) == set(ids)


async def test_the_owner_learns_of_watches_when_it_renews_its_lease(stores: Stores) -> None:
    tails, records = stores
    mine, other = new_generation(), new_generation()
    lease = await begun(records, mine)
    await begun(records, other)
    renewal = await records.renew(lease, TTL)
    assert renewal is not None
    assert renewal.watched == frozenset()
    watched = [new.generation.generation_id for new in (mine, other)]
    for watcher in (new_id(), new_id()):
        await tails.watch(watcher, watched, TTL)
    renewal = await records.renew(lease, TTL)
    assert renewal is not None
    assert renewal.watched == {mine.generation.generation_id}


@asynccontextmanager
async def listening(tails: Tails) -> AsyncIterator[set[str]]:
    """What is heard, while the block runs."""
    heard: set[str] = set()

    async def hear() -> None:
        async with aclosing(tails.growth()) as growth:  # type: ignore[type-var]
            async for generation_id in growth:
                heard.add(generation_id)

    task, probe = asyncio.create_task(hear()), new_id()
    try:
        async with asyncio.timeout(5):
            while probe not in heard:
                if task.done():
                    task.result()
                await tails.announce([probe])
                await asyncio.sleep(0.02)
        heard.clear()
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# A single MongoDB server tells nobody, and is polled.
@pytest.mark.parametrize("stores", ["memory", "postgres"], indirect=True)
async def test_growth_is_told_to_all_who_listen(tails: Tails) -> None:
    ids = [new_id() for _ in range(700)]
    async with listening(tails) as one, listening(tails) as two:
        await tails.announce(ids[:1])
        await tails.announce(ids[1:])

        async def all_heard() -> bool:
            return one >= set(ids) and two >= set(ids)

        await until(all_heard)


@pytest.mark.parametrize("stores", [MONGO], indirect=True)
async def test_a_store_that_tells_nobody_says_so_at_once(tails: Tails) -> None:
    async with asyncio.timeout(5):
        assert [generation_id async for generation_id in tails.growth()] == []
