"""What a crash between any two writes leaves of records in MongoDB: the next reader finds all of a step, or nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, cast

import pytest

from services.chat.model import NewGeneration, State
from services.chat.ports import Flush
from services.chat.stores.mongo.indexes import SESSION_INDEXES
from services.chat.stores.mongo.layout import GENERATION_INDEXES
from services.chat.stores.mongo.projections import Projections
from services.infra.mongo.client import Mongo
from services.kernel.ids import new_id
from tests.fakes.chat_records import (
    TTL,
    adopted_by,
    begun,
    completed,
    failed,
    new_generation,
    new_session,
    now,
    text,
    usage_event,
)
from tests.fakes.chat_stores import ChatStores, on_mongo
from tests.fakes.crashing_mongo import Crashed, CrashingMongo

pytestmark = pytest.mark.peers

_MOST_WRITES = 30
_ALL = timedelta(seconds=-60)


@pytest.fixture
async def mongo(mongo_url: str) -> AsyncIterator[Mongo]:
    async with Mongo(mongo_url) as opened:
        await opened.ensure_indexes({**GENERATION_INDEXES, **SESSION_INDEXES})
        yield opened


async def crash_after_each_write(
    mongo: Mongo, round_: Callable[[Callable[[], ChatStores]], Awaitable[None]]
) -> int:
    """Play the round with stores that crash after 0, 1, 2 … writes, until one does not. Returns how many writes it takes to the end."""
    for writes in range(_MOST_WRITES):
        crashing = CrashingMongo(mongo, writes)
        await round_(partial(on_mongo, cast(Any, crashing)))
        if not crashing.crashed:
            return writes
    raise AssertionError(f"it takes more than {_MOST_WRITES} writes")


def process_of(mongo: Mongo, writes: int) -> ChatStores:
    """The stores of a process that crashes after so many writes."""
    return on_mongo(cast(Any, CrashingMongo(mongo, writes)))


async def done(step: Awaitable[Any]) -> bool:
    """Whether the step came to its end."""
    try:
        await step
    except Crashed:
        return False
    return True


async def ended_by_another(stores: ChatStores, generation_id: str) -> bool:
    """Take over what the dead have left, and end it. Whether this generation was among it."""
    mine = await stores.records.acquire(new_id(), TTL)
    found = False
    for generation in await adopted_by(stores.records, mine, sole_owner=True):
        ending = failed(generation.last_seq, free_claim=not generation.text)
        assert await stores.records.finish(mine, generation, ending, None)
        found = found or generation.generation_id == generation_id
    return found


def opening(request_id: str = "") -> NewGeneration:
    """A call that opens a session and asks in it."""
    return new_generation(user_id="u1", session=new_session("u1"), request_id=request_id, digest=bytes(32))


async def said_in(stores: ChatStores, new: NewGeneration) -> list[str]:
    """The texts of a session, by the reader of contexts and by that of lists alike."""
    session_id = new.generation.session_id
    context = await stores.records.context(session_id, "u1", 100)
    if context is None:
        assert await stores.sessions.session(session_id, "u1") is None
        return []
    texts = [message.text for message in context[1]]
    assert [message.text for message in await stores.listed(session_id)] == texts
    return texts


@pytest.mark.parametrize("opens", [True, False])
async def test_a_call_has_begun_or_not(mongo: Mongo, opens: bool) -> None:
    outcomes = set()

    async def round_(process: Callable[[], ChatStores]) -> None:
        reader = on_mongo(mongo)
        new = opening(new_id())
        if not opens:
            session = await reader.opened(title="")
            new = new_generation(user_id="u1", session=session, request_id=new_id(), digest=bytes(32))
            new = replace(new, session=None, title="asked")
        lease = await reader.records.acquire(new_id(), TTL)
        finished = await done(process().records.begin(lease, new))
        found = await reader.records.generation(new.generation.generation_id)
        said = await said_in(reader, new)
        outcomes.add(found is not None)
        assert found is not None or not finished
        assert said == ([] if found is None else ["¿Qué es una orden inbound?"])
        if found is not None and not opens:
            session_now = await reader.sessions.session(new.generation.session_id, "u1")
            assert session_now is not None
            assert session_now.title == "asked"
        again = replace(
            new,
            generation=replace(new.generation, generation_id=new_id(), message_id=new_id()),
            session=None,
            user_message=None,
        )
        if found is not None:
            assert await reader.records.begin(lease, again) == new.generation.generation_id
        assert await ended_by_another(reader, new.generation.generation_id) is (found is not None)
        assert await said_in(reader, new) == said

    assert await crash_after_each_write(mongo, round_) >= 2
    assert outcomes == {True, False}


async def test_an_end_is_whole_or_was_never_written(mongo: Mongo) -> None:
    outcomes = set()

    async def round_(process: Callable[[], ChatStores]) -> None:
        reader, before = on_mongo(mongo), now()
        new = opening()
        id_ = new.generation.generation_id
        lease = await begun(reader.records, new)
        await reader.records.append(lease, [Flush(id_, [text(2, 3, "Hola")])])
        ending, event = completed(new, 4, "Hola"), usage_event(new.generation)
        finished = await done(process().records.finish(lease, new.generation, ending, event))
        found = await reader.records.generation(id_)
        assert found is not None
        ended = found.state is State.COMPLETED
        outcomes.add(ended)
        assert ended or not finished
        assert (await said_in(reader, new))[1:] == (["Hola"] if ended else [])
        events = await reader.records.events(id_, 0, 100)
        assert [event.seq for event in events] == ([1, 3, 4] if ended else [1, 3])
        sums = await reader.records.summarize(before, now() + timedelta(seconds=1), 10)
        assert [one.event_count for one in sums] == [1] * ended
        if ended:
            # The owner, if it was only cut off, repeats it.
            assert await reader.records.finish(lease, new.generation, ending, event)
            assert await reader.records.append(lease, [Flush(id_, [text(5, 5, "late")])]) == set()
        assert await ended_by_another(reader, id_) is not ended
        assert len(await said_in(reader, new)) == (2 if ended else 1)

    assert await crash_after_each_write(mongo, round_) >= 3
    assert outcomes == {True, False}


async def test_a_reader_that_is_late_with_the_question_leaves_the_answer_to_the_next(mongo: Mongo) -> None:
    reader, new = on_mongo(mongo), opening()
    lease = await reader.records.acquire(new_id(), TTL)
    assert not await done(process_of(mongo, 1).records.begin(lease, new))
    asked = await mongo["chat_generations"].find_one({"_id": new.generation.generation_id})
    assert asked is not None
    ending = completed(new, 2, "Hola")
    assert not await done(process_of(mongo, 1).records.finish(lease, new.generation, ending, None))
    assert await Projections(mongo).project(asked)
    assert await said_in(reader, new) == ["¿Qué es una orden inbound?", "Hola"]


async def test_an_end_in_a_session_that_was_deleted_leaves_no_content(mongo: Mongo) -> None:
    async def round_(process: Callable[[], ChatStores]) -> None:
        reader = on_mongo(mongo)
        new = opening()
        id_ = new.generation.generation_id
        lease = await begun(reader.records, new)
        await reader.sessions.delete_session(new.generation.session_id, "u1")
        await reader.records.append(lease, [Flush(id_, [text(2, 3, "privado")])])
        ending = completed(new, 4, "privado")
        if not await done(
            process().records.finish(lease, new.generation, ending, usage_event(new.generation))
        ):
            found = await reader.records.generation(id_)
            assert found is not None
            if found.state is State.RUNNING:
                assert await ended_by_another(reader, id_)
            await reader.records.prune(_ALL, 100)
        found = await reader.records.generation(id_)
        assert found is not None
        assert (found.forgotten, found.text, found.reasoning) == (True, "", "")
        assert await reader.records.events(id_, 0, 100) == []
        assert await said_in(reader, new) == []
        for name in ("chat_generations", "chat_events", "chat_messages"):
            kept = [str(document) async for document in mongo[name].find()]
            assert not any("privado" in one for one in kept)

    assert await crash_after_each_write(mongo, round_) >= 2


async def test_a_sleeper_brings_nothing_back_into_a_session_that_was_deleted(mongo: Mongo) -> None:
    sleeper, others, new = on_mongo(mongo), on_mongo(mongo), opening()
    id_ = new.generation.generation_id
    lease = await begun(sleeper.records, new)
    assert await sleeper.records.append(lease, [Flush(id_, [text(2, 3, "privado")])]) == {id_}
    assert await ended_by_another(others, id_)
    await others.sessions.delete_session(new.generation.session_id, "u1")
    assert await sleeper.records.append(lease, [Flush(id_, [text(4, 5, "privado")])]) == set()
    assert not await sleeper.records.finish(lease, new.generation, completed(new, 6, "privado"), None)
    for name in ("chat_generations", "chat_events", "chat_messages"):
        assert not any("privado" in str(document) for document in await mongo[name].find().to_list())


async def test_who_slept_longer_than_its_lease_looks_before_it_writes(mongo: Mongo) -> None:
    sleeper, others, new = on_mongo(mongo), on_mongo(mongo), new_generation()
    id_ = new.generation.generation_id
    lease = await sleeper.records.acquire(new_id(), timedelta(milliseconds=50))
    assert await sleeper.records.begin(lease, new) is None
    assert await ended_by_another(others, id_)
    # By now nothing holds the position any more.
    await others.records.prune(_ALL, 100)
    assert await mongo["chat_events"].count_documents({}) == 0
    await asyncio.sleep(0.06)
    assert await sleeper.records.append(lease, [Flush(id_, [text(2, 3, "late")])]) == set()
    assert await mongo["chat_events"].count_documents({}) == 0


async def test_a_take_over_that_dies_is_taken_over(mongo: Mongo) -> None:
    async def round_(process: Callable[[], ChatStores]) -> None:
        reader = on_mongo(mongo)
        news = [new_generation() for _ in range(3)]
        owner = on_mongo(mongo).records
        old = await begun(owner, news[0])
        for new in news[1:]:
            assert await owner.begin(old, new) is None
        ids = [new.generation.generation_id for new in news]
        await owner.append(old, [Flush(id_, [text(2, 3, "half")]) for id_ in ids])
        await owner.release(old)
        taker = await reader.records.acquire(new_id(), TTL)
        await done(process().records.take_over(taker, sole_owner=False, limit=100))
        await owner.release(taker)
        mine = await reader.records.acquire(new_id(), TTL)
        adopted = await adopted_by(reader.records, mine, sole_owner=False)
        assert {(one.generation_id, one.text, one.last_seq) for one in adopted} == {
            (id_, "half", 3) for id_ in ids
        }
        late = [Flush(id_, [text(4, 4, " it")]) for id_ in ids]
        assert await owner.append(old, late) == set()
        for one in adopted:
            assert await reader.records.finish(mine, one, failed(3, free_claim=False), None)
        for id_ in ids:
            assert [event.seq for event in await reader.records.events(id_, 0, 100)] == [1, 3]

    assert await crash_after_each_write(mongo, round_) >= 7


async def test_what_is_pruned_is_pruned_to_its_end(mongo: Mongo) -> None:
    async def round_(process: Callable[[], ChatStores]) -> None:
        reader = on_mongo(mongo)
        loose, kept = new_generation(), opening()
        lease = await begun(reader.records, loose)
        assert await reader.records.begin(lease, kept) is None
        for new in (loose, kept):
            id_ = new.generation.generation_id
            await reader.records.append(lease, [Flush(id_, [text(2, 3, "Hola")])])
            event = usage_event(new.generation)
            assert await reader.records.finish(lease, new.generation, completed(new, 4, "Hola"), event)

        async def removed(stores: ChatStores) -> None:
            await stores.records.prune(_ALL, 100)
            await stores.records.forget_answers(_ALL, 100)

        await done(removed(process()))
        seen = await reader.records.events(kept.generation.generation_id, 0, 100)
        assert [event.seq for event in seen] in ([1, 3, 4], [])
        await removed(reader)
        assert await mongo["chat_events"].count_documents({}) == 0
        assert await reader.records.generation(loose.generation.generation_id) is None
        found = await reader.records.generation(kept.generation.generation_id)
        assert found is not None
        assert (found.text, found.events_pruned) == ("Hola", True)

    assert await crash_after_each_write(mongo, round_) >= 5
