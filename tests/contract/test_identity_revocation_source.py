"""The promises of RevocationSource, kept by Auth's own log and by the feed of another process, on PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest

from services.auth.providers.revocation_log import RevocationLog
from services.capabilities.identity.ports import RevocationSource
from services.capabilities.identity.providers.revocations import RevocationsByRpc
from services.capabilities.identity.providers.service import ServiceTokens
from services.capabilities.identity.revocation_cache import RevocationCache
from services.capabilities.identity.revocations import (
    FeedItem,
    Heartbeat,
    Revocation,
    RevocationKind,
    Synced,
)
from services.infra.postgres.database import Database
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from tests.fakes.revocation_feed import login, until
from tests.fakes.revocation_tables import SECRET, Table, serving_feed


@dataclass
class World:
    """The table, the log that reads it, and the source under test."""

    table: Table
    log: RevocationLog
    source: RevocationSource


@pytest.fixture
async def table(migrated_url: str) -> AsyncIterator[Table]:
    async with Database(migrated_url, min_size=1, max_size=8) as database:
        yield Table(database)


@contextlib.asynccontextmanager
async def world_of(table: Table, kind: str, **more: Any) -> AsyncIterator[World]:
    log = RevocationLog(table, poll_seconds=0.05, **{"page": 3, **more})
    table.sql.call_when_added(log.wake)
    await log.start()
    try:
        if kind == "in process":
            yield World(table, log, log)
            return
        async with serving_feed(log) as peer:
            yield World(table, log, RevocationsByRpc(peer.stub, ServiceTokens(SECRET, "chat")))
    finally:
        await log.aclose()


@pytest.fixture(params=["in process", "by rpc"])
async def world(request: pytest.FixtureRequest, table: Table) -> AsyncIterator[World]:
    async with world_of(table, request.param) as made:
        yield made


def watching(source: RevocationSource, after: int | None) -> Any:
    """A watch, closed at the end of the block."""
    items: Any = source.watch(after)
    return aclosing(items)


async def following(items: Any) -> FeedItem:
    """The next item that is no heartbeat."""
    while True:
        item = await following_any(items)
        if not isinstance(item, Heartbeat):
            return item


async def following_any(items: Any) -> FeedItem:
    async with asyncio.timeout(5):
        found: FeedItem = await anext(items)
        return found


async def until_synced(items: Any) -> tuple[list[str], int]:
    """The subjects that come before Synced, and its position."""
    subjects: list[str] = []
    while True:
        item = await following(items)
        if isinstance(item, Synced):
            return subjects, item.position
        assert isinstance(item, Revocation)
        subjects.append(item.subject_id)


async def test_an_empty_feed_is_complete_at_once(world: World) -> None:
    for after in (None, 0):
        async with watching(world.source, after) as items:
            assert await until_synced(items) == ([], 0)


async def test_entries_come_as_they_were_made(world: World) -> None:
    before = time.time()
    subjects = [await world.table.add(kind=kind) for kind in RevocationKind]
    async with watching(world.source, None) as items:
        found = [await following(items) for _ in subjects]
    entries = [item for item in found if isinstance(item, Revocation)]
    assert [(one.kind, [one.subject_id]) for one in entries] == list(
        zip(RevocationKind, subjects, strict=True)
    )
    for one in entries:
        assert before - 5 < one.revoke_time < time.time() + 5
        assert one.expire_time - one.revoke_time == pytest.approx(16 * 60, abs=1e-3)


async def test_a_snapshot_has_what_still_matters_and_then_what_happens(world: World) -> None:
    subjects = [(await world.table.add())[0] for _ in range(8)]
    await world.table.add(gone := new_id(), kind=RevocationKind.USER_DELETED)
    await world.table.expire(*subjects[:4], gone)
    last = (await world.table.add())[0]
    await world.table.expire(last)
    async with watching(world.source, None) as items:
        # The last entry is always there: it tells where the feed is.
        synced = await until_synced(items)
        assert synced[0] == [*subjects[4:], last]
        for number in range(1, 5):
            fresh = await world.table.add()
            item = await following(items)
            assert isinstance(item, Revocation)
            assert (item.position, item.subject_id) == (synced[1] + number, fresh[0])


async def test_from_a_position_all_that_is_kept_comes(world: World) -> None:
    first = await world.table.add(new_id(), new_id(), kind=RevocationKind.USER_DELETED)
    second = [(await world.table.add())[0] for _ in range(7)]
    await world.table.expire(*first)
    async with watching(world.source, 0) as items:
        assert (await until_synced(items))[0] == [*first, *second]
    entries = await world.table.after(0, 100)
    for reached in entries:
        async with watching(world.source, reached.position) as items:
            rest = [one.subject_id for one in entries if one.position > reached.position]
            assert await until_synced(items) == (rest, entries[-1].position)


async def test_nothing_is_missed_or_doubled_while_entries_arrive(world: World) -> None:
    """Many watchers begin, from everywhere, in the middle of a stream of entries."""
    await world.table.add()
    done = asyncio.Event()

    async def revoke() -> None:
        for _ in range(60):
            await world.table.add(*(new_id() for _ in range(2)))
        await world.table.add(last)
        done.set()

    async def follow(after: int | None) -> list[int]:
        found: list[int] = []
        synced = 0
        async with watching(world.source, after) as items:
            while True:
                item = await following(items)
                if isinstance(item, Synced):
                    synced += 1
                    assert item.position == (found[-1] if found else after)
                    continue
                assert isinstance(item, Revocation)
                found.append(item.position)
                if item.subject_id == last:
                    assert synced <= 1
                    return found

    last = new_id()
    revoking = asyncio.create_task(revoke())
    begun = []
    while not done.is_set():
        reached = await world.table.last()
        begun += [
            (after, asyncio.create_task(follow(after))) for after in (None, max(1, reached - 20), reached)
        ]
        await asyncio.sleep(0.03)
        if len(begun) > 30:
            break
    await revoking
    everything = [one.position for one in await world.table.after(0, 1000)]
    for after, task in begun:
        assert await task == [position for position in everything if position > (after or 0)]


async def test_transactions_that_overlap_are_missed_by_nobody(world: World) -> None:
    """Whoever has drawn the first number commits first, however long that takes."""
    sql, engine = world.table.sql, world.table.database.engine
    slow, fast = new_id(), new_id()
    async with watching(world.source, None) as items:
        await until_synced(items)
        async with engine.begin() as connection:
            await sql.add(connection, RevocationKind.SESSION, [slow])
            second = asyncio.create_task(world.table.add(fast))
            await asyncio.sleep(0.15)
            assert not second.done()
        await second
        found = [await following(items), await following(items)]
    assert [item.subject_id for item in found if isinstance(item, Revocation)] == [slow, fast]


async def test_what_was_rolled_back_leaves_a_gap_that_holds_nothing_up(world: World) -> None:
    async with watching(world.source, None) as items:
        await until_synced(items)
        with contextlib.suppress(KeyError):
            async with world.table.database.engine.begin() as connection:
                await world.table.sql.add(connection, RevocationKind.SESSION, [new_id()])
                raise KeyError
        made = await world.table.add()
        item = await following(items)
        assert isinstance(item, Revocation)
        assert [item.subject_id] == made


@pytest.mark.long
async def test_heartbeats_come_every_second_while_the_table_can_be_read(world: World) -> None:
    async with watching(world.source, None) as items:
        await until_synced(items)
        before = time.monotonic()
        for _ in range(2):
            assert isinstance(await following_any(items), Heartbeat)
        assert 0.6 < time.monotonic() - before < 4.0
        world.table.away = True
        with contextlib.suppress(TimeoutError):
            # One may have been on its way.
            async with asyncio.timeout(0.3):
                await asyncio.shield(coming := asyncio.ensure_future(anext(items)))
        if coming.done():
            coming = asyncio.ensure_future(anext(items))
        done, _ = await asyncio.wait((coming,), timeout=1.3)
        assert not done
        world.table.away = False
        async with asyncio.timeout(3):
            assert isinstance(await coming, Heartbeat)


async def test_whoever_comes_while_the_table_is_away_is_told(world: World) -> None:
    world.table.away = True
    async with watching(world.source, None) as items:
        with pytest.raises(Unavailable):
            await following(items)


async def test_a_feed_that_went_back_ends_and_tells_where_it_is_now(world: World) -> None:
    await world.table.add(*(new_id() for _ in range(6)))
    positions = [one.position for one in await world.table.after(0, 100)]
    async with watching(world.source, None) as items:
        await until_synced(items)
        await world.table.run("delete from auth.revocations where id > %s", positions[2])
        with pytest.raises(Unavailable):
            await following(items)
    async with watching(world.source, positions[-1]) as items:
        assert await until_synced(items) == ([], positions[2])


async def test_a_feed_that_went_back_before_it_was_read_again_ends_too(table: Table) -> None:
    # Nobody wakes the log, so the watcher has read further than the log when the table goes back.
    log = RevocationLog(table, poll_seconds=0.6)
    await log.start()
    try:
        await table.add(*(new_id() for _ in range(6)))
        positions = [one.position for one in await table.after(0, 100)]
        async with watching(log, None) as items:
            await until_synced(items)
            await table.run("delete from auth.revocations where id > %s", positions[2])
            with pytest.raises(Unavailable):
                await following(items)
    finally:
        await log.aclose()


async def test_a_cache_follows_a_feed_that_went_back_to_nothing(world: World) -> None:
    await world.table.add(*(new_id() for _ in range(6)))
    cache = RevocationCache(world.source, 30.0)
    await cache.start()
    try:
        assert cache.position == 6
        await world.table.run("truncate auth.revocations restart identity")
        await until(lambda: cache.position == 0)
        proof = login()
        await world.table.add(proof.principal.session_id)
        await until(lambda: cache.is_revoked(proof))
        assert cache.position == 1
    finally:
        await cache.aclose()


async def test_a_cache_learns_within_the_bound(world: World) -> None:
    cache = RevocationCache(world.source, 30.0)
    await cache.start()
    try:
        proof = login()
        assert not cache.is_revoked(proof)
        await world.table.add(proof.principal.session_id)
        await until(lambda: cache.is_revoked(proof), 2.0)
    finally:
        await cache.aclose()


async def test_watchers_end_with_the_log(world: World) -> None:
    async with watching(world.source, None) as items:
        await until_synced(items)
        await world.log.aclose()
        with pytest.raises(Unavailable):
            await following(items)
    async with watching(world.source, None) as items:
        with pytest.raises(Unavailable):
            await until_synced(items)


async def test_a_watcher_that_does_not_keep_up_is_ended_and_comes_back(table: Table) -> None:
    """In process alone: by RPC the buffers on the way take megabytes before the server feels that nobody reads."""
    async with world_of(table, "in process", queue=5) as world:
        async with watching(world.source, None) as slow, watching(world.source, None) as quick:
            await until_synced(slow)
            await until_synced(quick)
            for _ in range(7):
                await table.add()
                await following(quick)
            with pytest.raises(Unavailable, match="keep up"):
                await following(slow)
        async with watching(world.source, 0) as back:
            assert len((await until_synced(back))[0]) == 7


async def test_a_stop_ends_what_other_processes_watch_and_nothing_else(table: Table) -> None:
    async with world_of(table, "in process") as world:
        async with watching(world.log.for_peers, None) as peers, watching(world.log, None) as own:
            await until_synced(peers)
            await until_synced(own)
            await world.log.drain(30.0)
            with pytest.raises(Unavailable):
                await following(peers)
            await table.add()
            assert isinstance(await following(own), Revocation)
        async with watching(world.log.for_peers, None) as peers:
            with pytest.raises(Unavailable):
                await until_synced(peers)


async def test_a_log_does_not_start_without_its_table(table: Table) -> None:
    table.away = True
    with pytest.raises(Unavailable):
        await RevocationLog(table).start()
