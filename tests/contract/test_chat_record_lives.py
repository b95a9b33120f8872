"""What every RecordStore promises of leases that run out, of repetitions, and of what is large."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from services.chat.ports import Flush, RecordStore
from services.chat.stores.records import SqlRecordStore
from services.chat.stores.warming import warm
from services.infra.postgres.database import Database
from services.kernel.errors import AlreadyExists
from services.kernel.ids import new_id
from tests.fakes.chat_memory import MemoryRecordStore
from tests.fakes.chat_records import (
    TTL,
    adopted_by,
    begun,
    completed,
    failed,
    new_generation,
    new_session,
    text,
    usage_event,
)
from tests.fakes.chat_stores import mongo_stores
from tests.fakes.served_suite import until


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


async def test_a_lease_that_is_not_renewed_runs_out_and_one_that_is_does_not(store: RecordStore) -> None:
    ttl = timedelta(seconds=0.5)
    mine = await store.acquire(new_id(), TTL)
    silent, alive = new_generation(), new_generation()
    leases = [await store.acquire(new_id(), ttl) for _ in range(2)]
    for lease, new in zip(leases, (silent, alive), strict=True):
        assert await store.begin(lease, new) is None
    adopted: list[str] = []

    async def taken() -> bool:
        # A store may time a lease from its first look at it.
        assert await store.renew(leases[1], ttl) is not None
        adopted.extend(one.generation_id for one in await adopted_by(store, mine, sole_owner=False))
        return bool(adopted)

    await until(taken)
    assert adopted == [silent.generation.generation_id]
    assert await store.append(leases[0], [Flush(adopted[0], [text(2, 2, "late")])]) == set()


async def test_a_claim_is_found_without_a_call(store: RecordStore) -> None:
    request_id, digest = new_id(), bytes(32)
    new = new_generation(request_id=request_id, digest=digest)
    assert await store.claimed("anonymous", request_id, digest) is None
    lease = await begun(store, new)
    assert await store.claimed("anonymous", request_id, digest) == new.generation.generation_id
    assert await store.claimed("somebody", request_id, digest) is None
    with pytest.raises(AlreadyExists) as refused:
        await store.claimed("anonymous", request_id, b"\1" * 32)
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert await store.finish(lease, new.generation, failed(1, free_claim=True), None)
    assert await store.claimed("anonymous", request_id, digest) is None


async def test_a_call_that_is_repeated_as_it_was_has_begun(store: RecordStore) -> None:
    for request_id in ("", new_id()):
        new = new_generation(user_id="u1", session=new_session("u1"), request_id=request_id, digest=bytes(32))
        lease = await begun(store, new)
        assert await store.begin(lease, new) is None
        context = await store.context(new.generation.session_id, "u1", 10)
        assert context is not None
        assert len(context[1]) == 1


async def test_the_longest_answer_is_kept(store: RecordStore) -> None:
    session = new_session("u1")
    new = new_generation(user_id="u1", session=session)
    lease, id_ = await begun(store, new), new.generation.generation_id
    part = "ñ" * (3 * 1024**2 // 4)
    assert await store.append(lease, [Flush(id_, [text(2, 2, part)])]) == {id_}
    ending = completed(new, 4, part + part)
    ending = replace(ending, last_events=(text(3, 3, part), *ending.last_events), reasoning=part + part)
    assert await store.finish(lease, new.generation, ending, usage_event(new.generation))
    found = await store.generation(id_)
    assert found is not None
    assert (found.text, found.reasoning) == (part + part, part + part)
    assert [event.seq for event in await store.events(id_, 0, 100)] == [1, 2, 3, 4]
    context = await store.context(session.session_id, "u1", 10)
    assert context is not None
    assert context[1][-1].text == part + part


async def test_a_context_has_the_last_messages_and_is_bounded(store: RecordStore) -> None:
    session = new_session("u1")
    lease = await store.acquire(new_id(), TTL)
    for number in range(4):
        new = new_generation(user_id="u1", session=session)
        assert await store.begin(lease, replace(new, session=session if number == 0 else None)) is None
        words = f"{number}" * (3 * 1024**2 // 2)
        assert await store.finish(lease, new.generation, completed(new, 2, words), None)

    async def last(limit: int) -> list[str]:
        context = await store.context(session.session_id, "u1", limit)
        assert context is not None
        return [message.text[:1] for message in context[1]]

    assert await last(1) == ["3"]
    assert await last(3) == ["2", "¿", "3"]
    # Three of them would be more than 4 MiB.
    assert await last(100) == ["¿", "2", "¿", "3"]


async def test_whoever_lost_its_own_lease_takes_nothing_over(store: RecordStore) -> None:
    new = new_generation()
    await begun(store, new)
    slept = await store.acquire(new_id(), TTL)
    awake = await store.acquire(new_id(), TTL)
    adopted = [one.generation_id for one in await adopted_by(store, awake, sole_owner=True)]
    assert adopted == [new.generation.generation_id]
    another = new_generation()
    assert await store.begin(await store.acquire(new_id(), TTL), another) is None
    # What it adopted would be looked for by nobody.
    assert await adopted_by(store, slept, sole_owner=True) == []
    adopted = [one.generation_id for one in await adopted_by(store, awake, sole_owner=True)]
    assert adopted == [another.generation.generation_id]
