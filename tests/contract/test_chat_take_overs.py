"""What every RecordStore promises of taking over in parts, and of what is told without reading a record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.chat.model import Event, Fallback, Lease, State
from services.chat.ports import Flush, RecordStore
from services.chat.stores.records import SqlRecordStore
from services.chat.stores.warming import warm
from services.infra.postgres.database import Database
from services.kernel.ids import new_id
from tests.fakes.chat_memory import MemoryRecordStore
from tests.fakes.chat_records import TTL, begun, completed, failed, new_generation, new_session, now, text
from tests.fakes.chat_stores import mongo_stores


@pytest.fixture(params=["memory", "postgres", pytest.param("mongo", marks=pytest.mark.peers)])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[RecordStore]:
    if request.param == "memory":
        yield MemoryRecordStore()
        return
    if request.param == "mongo":
        async with mongo_stores(request.getfixturevalue("mongo_url")) as stores:
            yield stores.records
        return
    async with Database(request.getfixturevalue("migrated_url"), warm=[warm]) as database:
        yield SqlRecordStore(database)


async def left_by(store: RecordStore, count: int) -> tuple[Lease, set[str]]:
    """A process that gave up its lease, and as many generations that it left running."""
    old, ids = await store.acquire(new_id(), TTL), set()
    for _ in range(count):
        new = new_generation()
        assert await store.begin(old, new) is None
        ids.add(new.generation.generation_id)
    await store.release(old)
    return old, ids


async def test_a_take_over_goes_in_rounds_and_fences_all_with_the_first(store: RecordStore) -> None:
    old, ids = await left_by(store, 5)
    mine = await store.acquire(new_id(), TTL)
    rounds = [set(await store.take_over(mine, sole_owner=False, limit=2))]
    late = await store.append(old, [Flush(id_, [text(2, 2, "late")]) for id_ in ids])
    # A store may stop each flush as it adopts its generation, and an end only when it did.
    assert not late & rounds[0]
    assert await store.renew(old, TTL) is None
    while adopted := set(await store.take_over(mine, sole_owner=False, limit=2)):
        rounds.append(adopted)
    assert [len(adopted) for adopted in rounds] == [2, 2, 1]
    assert set.union(*rounds) == ids == set(await store.running(mine))
    assert await store.append(old, [Flush(id_, [text(3, 3, "later")]) for id_ in ids]) == set()


async def test_what_a_take_over_did_not_come_to_is_left_to_others(store: RecordStore) -> None:
    _, ids = await left_by(store, 3)
    first, second = [await store.acquire(new_id(), TTL) for _ in range(2)]
    adopted = await store.take_over(first, sole_owner=False, limit=1)
    rest = await store.take_over(second, sole_owner=False, limit=10)
    assert (len(adopted), {*adopted, *rest}) == (1, ids)
    # One that died itself in the midst of it leaves what it adopted, too.
    await store.release(first)
    assert await store.take_over(second, sole_owner=False, limit=10) == adopted
    for id_ in ids:
        found = await store.generation(id_)
        assert found is not None
        assert await store.finish(second, found, failed(1, free_claim=False), None)
    assert await store.take_over(second, sole_owner=False, limit=10) == []


async def test_takers_that_meet_adopt_each_once(store: RecordStore) -> None:
    _, ids = await left_by(store, 12)
    takers = [await store.acquire(new_id(), TTL) for _ in range(3)]
    adopted: list[str] = []

    async def take(taker: Lease) -> None:
        while found := await store.take_over(taker, sole_owner=False, limit=2):
            adopted.extend(found)

    await asyncio.gather(*(take(taker) for taker in takers))
    await take(takers[0])
    assert sorted(adopted) == sorted(ids)


async def test_a_head_tells_all_but_what_was_made(store: RecordStore) -> None:
    assert await store.head(new_id()) is None
    new = new_generation(user_id="u1", session=new_session("u1"))
    lease, id_ = await begun(store, new), new.generation.generation_id
    head = await store.head(id_)
    assert head is not None
    assert (head.user_id, head.last_seq, head.state) == ("u1", 1, State.RUNNING)
    other = Event(2, 2, now(), Fallback("other", "elsewhere", "echo", "PROVIDER_UNAVAILABLE"))
    await store.append(lease, [Flush(id_, [other, text(3, 5, "Ho")])])
    await store.append(lease, [Flush(id_, [text(6, 6, "la")])])
    head = await store.head(id_)
    assert head is not None
    assert (head.text, head.last_seq, head.model) == ("", 6, "echo")
    ending = completed(new, 7, "Hola")
    await store.finish(lease, new.generation, ending, None)
    head, whole = await store.head(id_), await store.generation(id_)
    assert head is not None
    assert whole is not None
    assert (head.text, head.tool_calls, head.reasoning) == ("", (), "")
    assert (head.last_seq, head.state, head.usage, head.end_time) == (
        whole.last_seq,
        whole.state,
        whole.usage,
        whole.end_time,
    )


async def test_a_head_does_not_count_what_a_take_over_holds(store: RecordStore) -> None:
    new = new_generation()
    old, id_ = await begun(store, new), new.generation.generation_id
    await store.append(old, [Flush(id_, [text(2, 4, "half")])])
    mine = await store.acquire(new_id(), TTL)
    assert await store.take_over(mine, sole_owner=True, limit=1) == [id_]
    head = await store.head(id_)
    assert head is not None
    assert head.last_seq == 4


async def test_events_are_found_from_every_position(store: RecordStore) -> None:
    new = new_generation()
    lease, id_ = await begun(store, new), new.generation.generation_id
    # Rows of 1, of 3 and of 2 events, one of which covers 4 positions.
    rows = [
        [text(2, 2, "a")],
        [text(3, 3, "b"), text(4, 7, "cdef"), text(8, 8, "g")],
        [text(9, 9, "h"), text(10, 10, "i")],
    ]
    for row in rows:
        assert await store.append(lease, [Flush(id_, row)]) == {id_}
    every = [event for row in rows for event in row]
    for position in range(12):
        found = await store.events(id_, position, 100)
        behind = [event for event in every if event.seq > position]
        if position < 1:
            assert found[0].seq == 1
            found = found[1:]
        assert [event.seq for event in found][-1:] == [event.seq for event in behind][-1:]
        assert "".join(event.body.text for event in found) == "".join(  # type: ignore[union-attr]
            event.body.text  # type: ignore[union-attr]
            for event in behind
        )
    # So many rows behind a position, whatever is before it.
    assert [event.seq for event in await store.events(id_, 8, 1)][-1] == 10
    assert [event.seq for event in await store.events(id_, 3, 1)][-1] >= 8
    assert await store.events(id_, 2**62, 1) == []
