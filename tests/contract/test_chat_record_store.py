"""What every RecordStore promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from services.chat.model import (
    FinishReason,
    Role,
    State,
    ToolCall,
)
from services.chat.ports import Flush, LeaseLost, RecordStore, Renewal
from services.chat.stores.records import SqlRecordStore
from services.chat.stores.warming import warm
from services.infra.postgres.database import Database
from services.kernel.errors import AlreadyExists, NotFound
from services.kernel.ids import new_id
from tests.fakes.chat_memory import MemoryRecordStore
from tests.fakes.chat_play import is_dense
from tests.fakes.chat_play import words as words_of
from tests.fakes.chat_records import (
    TTL,
    USAGE,
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


async def test_a_generation_begins_with_its_first_event(store: RecordStore) -> None:
    new = new_generation()
    await begun(store, new)
    events = await store.events(new.generation.generation_id, 0, 10)
    assert [event.body for event in events] == [new.started.body]
    found = await store.generation(new.generation.generation_id)
    assert found is not None
    assert (found.state, found.last_seq, found.text) == (State.RUNNING, 1, "")


async def test_events_come_back_in_order_and_from_any_position(store: RecordStore) -> None:
    new = new_generation()
    lease, id_ = await begun(store, new), new.generation.generation_id
    assert await store.append(lease, [Flush(id_, [text(2, 4, "Hola "), text(5, 5, "mundo")])]) == {id_}
    assert await store.append(lease, [Flush(id_, [text(6, 9, "!")])]) == {id_}
    for after_seq, words in ((0, "Hola mundo!"), (1, "Hola mundo!"), (4, "mundo!"), (5, "!"), (9, "")):
        events = await store.events(id_, after_seq, 10)
        assert is_dense(events, after_seq)
        assert (words_of(events), events[-1].seq if events else 9) == (words, 9)
    few = await store.events(id_, 4, 1)
    assert is_dense(few, 4)
    assert words_of(few).startswith("mundo")
    # A position within an event is no boundary, which whoever reads sees by where the first one begins.
    assert (await store.events(id_, 3, 10))[0].first_seq == 2
    found = await store.generation(id_)
    assert found is not None
    assert (found.text, found.last_seq) == ("Hola mundo!", 9)


async def test_many_generations_are_written_in_one_step(store: RecordStore) -> None:
    lease = await store.acquire(new_id(), TTL)
    news = [new_generation() for _ in range(20)]
    for new in news:
        assert await store.begin(lease, new) is None
    ids = {new.generation.generation_id for new in news}
    assert await store.append(lease, [Flush(id_, [text(2, 2, id_)]) for id_ in ids]) == ids
    for id_ in ids:
        found = await store.generation(id_)
        assert found is not None
        assert found.text == id_


async def test_a_repeated_append_counts_as_accepted_and_stores_nothing_twice(store: RecordStore) -> None:
    new = new_generation()
    lease, id_ = await begun(store, new), new.generation.generation_id
    flush = Flush(id_, [text(2, 2, "once")])
    assert await store.append(lease, [flush]) == {id_}
    assert await store.append(lease, [flush]) == {id_}
    assert len(await store.events(id_, 0, 10)) == 2


async def test_another_event_at_a_position_that_is_taken_is_refused(store: RecordStore) -> None:
    new = new_generation()
    lease, id_ = await begun(store, new), new.generation.generation_id
    await store.append(lease, [Flush(id_, [text(2, 2, "first")])])
    assert await store.append(lease, [Flush(id_, [text(2, 2, "other")])]) == set()
    found = await store.generation(id_)
    assert found is not None
    assert found.text == "first"


async def test_the_end_stores_everything_and_repeats_safely(store: RecordStore) -> None:
    session = new_session("u1")
    new = new_generation(user_id="u1", session=session)
    lease, id_ = await begun(store, new), new.generation.generation_id
    await store.append(lease, [Flush(id_, [text(2, 3, "Hola")])])
    ending, event = completed(new, 4, "Hola"), usage_event(new.generation)
    assert await store.finish(lease, new.generation, ending, event)
    assert await store.finish(lease, new.generation, ending, event)
    found = await store.generation(id_)
    assert found is not None
    assert (found.state, found.finish_reason, found.text, found.last_seq, found.usage) == (
        State.COMPLETED,
        FinishReason.STOP,
        "Hola",
        4,
        USAGE,
    )
    assert found.tool_calls == (ToolCall("call_1", "look_up", "{}"),)
    context = await store.context(session.session_id, "u1", 10)
    assert context is not None
    assert context[0].title == "a title"
    assert [(m.role, m.text) for m in context[1]] == [
        (Role.USER, "¿Qué es una orden inbound?"),
        (Role.ASSISTANT, "Hola"),
    ]


async def test_what_has_ended_takes_no_more_events_and_no_other_end(store: RecordStore) -> None:
    new = new_generation()
    lease, id_ = await begun(store, new), new.generation.generation_id
    assert await store.finish(lease, new.generation, completed(new, 2, "done"), None)
    assert await store.append(lease, [Flush(id_, [text(3, 3, "late")])]) == set()
    assert not await store.finish(lease, new.generation, failed(2, free_claim=False), None)


async def test_a_failure_is_told_again_as_it_was(store: RecordStore) -> None:
    new = new_generation()
    lease = await begun(store, new)
    ending = failed(1, free_claim=True)
    assert await store.finish(lease, new.generation, ending, None)
    found = await store.generation(new.generation.generation_id)
    assert found is not None
    assert found.failure == ending.failure


async def test_the_same_request_id_finds_the_first_generation(store: RecordStore) -> None:
    request_id, digest = new_id(), bytes(32)
    first = new_generation(request_id=request_id, digest=digest)
    lease = await begun(store, first)
    second = new_generation(request_id=request_id, digest=digest)
    assert await store.begin(lease, second) == first.generation.generation_id
    assert await store.generation(second.generation.generation_id) is None


async def test_the_same_request_id_with_another_body_is_refused(store: RecordStore) -> None:
    request_id = new_id()
    lease = await begun(store, new_generation(request_id=request_id, digest=bytes(32)))
    with pytest.raises(AlreadyExists) as refused:
        await store.begin(lease, new_generation(request_id=request_id, digest=b"\1" * 32))
    assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_request_ids_of_different_callers_do_not_meet(store: RecordStore) -> None:
    request_id, digest = new_id(), bytes(32)
    lease = await begun(store, new_generation(request_id=request_id, digest=digest))
    other = new_generation(user_id="u2", session=new_session("u2"), request_id=request_id, digest=digest)
    assert await store.begin(lease, other) is None


async def test_a_repeated_call_opens_no_second_session(store: RecordStore) -> None:
    request_id, digest = new_id(), bytes(32)
    lease = await begun(
        store, new_generation(user_id="u1", session=new_session("u1"), request_id=request_id, digest=digest)
    )
    again = new_session("u1")
    await store.begin(
        lease, new_generation(user_id="u1", session=again, request_id=request_id, digest=digest)
    )
    assert await store.context(again.session_id, "u1", 10) is None


async def test_a_freed_request_id_begins_anew(store: RecordStore) -> None:
    request_id, digest = new_id(), bytes(32)
    first = new_generation(request_id=request_id, digest=digest)
    lease = await begun(store, first)
    await store.finish(lease, first.generation, failed(1, free_claim=True), None)
    assert await store.begin(lease, new_generation(request_id=request_id, digest=digest)) is None


async def test_of_many_calls_with_one_request_id_one_begins(store: RecordStore) -> None:
    request_id, digest = new_id(), bytes(32)
    lease = await store.acquire(new_id(), TTL)
    news = [new_generation(request_id=request_id, digest=digest) for _ in range(12)]
    answers = await asyncio.gather(*(store.begin(lease, new) for new in news))
    winners = [
        new.generation.generation_id for new, answer in zip(news, answers, strict=True) if answer is None
    ]
    assert len(winners) == 1
    assert {answer for answer in answers if answer is not None} == set(winners)


async def test_a_session_of_somebody_else_is_not_there(store: RecordStore) -> None:
    session = new_session("u1")
    await begun(store, new_generation(user_id="u1", session=session))
    assert await store.context(session.session_id, "u2", 10) is None


async def test_a_generation_in_a_session_that_is_gone_is_refused(store: RecordStore) -> None:
    lease = await store.acquire(new_id(), TTL)
    new = new_generation(user_id="u1", session=new_session("u1"))
    with pytest.raises(NotFound):
        await store.begin(lease, replace(new, session=None))


async def test_a_take_over_fences_the_old_owner(store: RecordStore) -> None:
    new = new_generation(user_id="u1", session=new_session("u1"))
    old, id_ = await begun(store, new), new.generation.generation_id
    await store.append(old, [Flush(id_, [text(2, 3, "half of")])])
    mine = await store.acquire(new_id(), TTL)
    adopted = await adopted_by(store, mine, sole_owner=True)
    assert [(g.generation_id, g.text, g.last_seq, g.input_tokens_estimate) for g in adopted] == [
        (id_, "half of", 3, 7)
    ]
    assert await store.append(old, [Flush(id_, [text(4, 4, " it")])]) == set()
    assert not await store.finish(old, new.generation, completed(new, 4, "half of it"), None)
    assert await store.renew(old, TTL) is None
    with pytest.raises(LeaseLost):
        await store.begin(old, new_generation())
    assert await store.finish(mine, adopted[0], failed(3, free_claim=False), None)
    found = await store.generation(id_)
    assert found is not None
    assert (found.state, found.last_seq) == (State.FAILED, 3)


async def test_only_leases_that_ran_out_are_taken_over(store: RecordStore) -> None:
    alive, dead = new_generation(), new_generation()
    await begun(store, alive)
    gone = await begun(store, dead)
    await store.release(gone)
    mine = await store.acquire(new_id(), TTL)
    adopted = await adopted_by(store, mine, sole_owner=False)
    assert [g.generation_id for g in adopted] == [dead.generation.generation_id]
    assert await adopted_by(store, mine, sole_owner=False) == []


async def test_two_take_overs_at_once_share_the_work(store: RecordStore) -> None:
    ids = set()
    for _ in range(6):
        new = new_generation()
        await store.release(await begun(store, new))
        ids.add(new.generation.generation_id)
    takers = [await store.acquire(new_id(), TTL) for _ in range(3)]
    shares = await asyncio.gather(*(adopted_by(store, taker, sole_owner=False) for taker in takers))
    adopted = [generation.generation_id for share in shares for generation in share]
    assert len(adopted) == len(set(adopted))
    rest = await adopted_by(store, takers[0], sole_owner=False)
    assert {*adopted, *(generation.generation_id for generation in rest)} == ids


async def test_a_renewal_tells_what_is_to_be_cancelled(store: RecordStore) -> None:
    new = new_generation()
    lease = await begun(store, new)
    assert await store.renew(lease, TTL) == Renewal()
    await store.request_cancel(new.generation.generation_id)
    assert await store.renew(lease, TTL) == Renewal(frozenset({new.generation.generation_id}))


async def test_pruned_events_leave_the_message(store: RecordStore) -> None:
    new = new_generation(user_id="u1", session=new_session("u1"))
    lease, id_ = await begun(store, new), new.generation.generation_id
    await store.finish(lease, new.generation, completed(new, 2, "Hola"), None)
    assert await store.prune(timedelta(hours=1), 10) == 0
    assert await store.prune(timedelta(seconds=-60), 10) == 1
    assert await store.prune(timedelta(seconds=-60), 10) == 0
    assert await store.events(id_, 0, 10) == []
    found = await store.generation(id_)
    assert found is not None
    assert (found.events_pruned, found.text, found.last_seq) == (True, "Hola", 2)


async def test_an_unknown_generation_is_absent(store: RecordStore) -> None:
    assert await store.generation(new_id()) is None
    assert await store.events(new_id(), 0, 10) == []


async def test_the_state_alone_is_told(store: RecordStore) -> None:
    new = new_generation()
    lease = await begun(store, new)
    assert await store.state(new.generation.generation_id) is State.RUNNING
    await store.finish(lease, new.generation, completed(new, 2, "done"), None)
    assert await store.state(new.generation.generation_id) is State.COMPLETED
    assert await store.state(new_id()) is None
