"""What others do to Chat's MongoDB while a process is in the middle of a step, and what is left of steps that were broken off for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from pymongo.errors import BulkWriteError, DuplicateKeyError

from services.chat.model import Message, NewGeneration, Role, State
from services.chat.ports import Flush, LeaseLost
from services.chat.stores.mongo.deletions import MongoDeletions
from services.chat.stores.mongo.indexes import SESSION_INDEXES
from services.chat.stores.mongo.layout import GENERATION_INDEXES
from services.infra.mongo.client import Mongo
from services.kernel.errors import NotFound, Unavailable
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes.chat_records import TTL, adopted_by, completed, failed, new_generation, new_session, text
from tests.fakes.chat_stores import ChatStores, on_mongo
from tests.fakes.chat_stores import new_session as a_session
from tests.fakes.crashing_mongo import Crashed, CrashingMongo
from tests.fakes.interleaved_mongo import InterleavedMongo, Turns
from tests.fakes.meddled_mongo import MeddledMongo, Meddling, Pause

pytestmark = pytest.mark.peers

_AT_ONCE = timedelta(seconds=-60)


@pytest.fixture
async def mongo(mongo_url: str) -> AsyncIterator[Mongo]:
    async with Mongo(mongo_url) as opened:
        await opened.ensure_indexes({**GENERATION_INDEXES, **SESSION_INDEXES})
        yield opened


def meddled(mongo: Mongo, meddlings: dict[tuple[str, str], Meddling]) -> ChatStores:
    return on_mongo(cast(Any, MeddledMongo(mongo, meddlings)))


def crashing(mongo: Mongo, writes: int) -> ChatStores:
    return on_mongo(cast(Any, CrashingMongo(mongo, writes)))


def asking() -> NewGeneration:
    return new_generation(user_id="u1", session=new_session("u1"), request_id=new_id(), digest=bytes(32))


async def left_of(mongo: Mongo, user_id: str) -> list[dict[str, Any]]:
    """What is found of a person."""
    names = ("chat_sessions", "chat_messages", "chat_generations")
    return [found for name in names async for found in mongo[name].find({"user_id": user_id})]


async def test_what_ended_while_it_began_has_not_begun(mongo: Mongo) -> None:
    pause, new = Pause(), asking()
    stores = meddled(mongo, {("chat_messages", "insert_many"): pause})
    lease, id_ = await stores.records.acquire(new_id(), TTL), new.generation.generation_id
    begin = asyncio.create_task(stores.records.begin(lease, new))
    await pause.reached.wait()
    assert await stores.records.finish(lease, new.generation, failed(1, free_claim=True), None)
    pause.over.set()
    with pytest.raises(LeaseLost):
        await begin
    assert await stores.records.append(lease, [Flush(id_, [text(2, 4, "shown")])]) == set()
    assert await mongo["chat_events"].count_documents({}) == 0


async def test_what_was_begun_before_and_ended_since_takes_no_events(mongo: Mongo) -> None:
    stores, others, new = on_mongo(mongo), on_mongo(mongo), asking()
    lease, id_ = await stores.records.acquire(new_id(), TTL), new.generation.generation_id
    assert await stores.records.begin(lease, new) is None
    assert await others.records.finish(lease, new.generation, failed(1, free_claim=False), None)
    # The reply to the first attempt was lost.
    assert await stores.records.begin(lease, new) is None
    assert await stores.records.append(lease, [Flush(id_, [text(2, 4, "shown")])]) == set()


async def test_who_was_paused_in_a_beginning_brings_no_deleted_person_back(mongo: Mongo) -> None:
    pause, others, new = Pause(), on_mongo(mongo), asking()
    new = replace(new, generation=replace(new.generation, request_id=""))
    paused = meddled(mongo, {("chat_messages", "insert_many"): pause, ("chat_sessions", "insert_one"): pause})
    lease = await paused.records.acquire(new_id(), TTL)
    begin = asyncio.create_task(paused.records.begin(lease, new))
    await pause.reached.wait()
    deletions = MongoDeletions(mongo, lambda _: None)
    assert not await deletions.remove("u1")
    mine = await others.records.acquire(new_id(), TTL)
    (generation,) = await adopted_by(others.records, mine, sole_owner=True)
    assert await others.records.finish(mine, generation, failed(1, free_claim=True), None)
    assert await deletions.remove("u1")
    pause.over.set()
    with pytest.raises(NotFound):
        await begin
    assert await left_of(mongo, "u1") == []


async def test_a_reader_that_was_paused_brings_no_deleted_person_back(mongo: Mongo) -> None:
    # Two processes died: one behind the insertion of a generation, the other one behind its end.
    pause, others, new = Pause(), on_mongo(mongo), asking()
    lease = await others.records.acquire(new_id(), TTL)
    with pytest.raises(Crashed):
        await crashing(mongo, 1).records.begin(lease, new)
    with pytest.raises(Crashed):
        await crashing(mongo, 1).records.finish(lease, new.generation, completed(new, 2, "privado"), None)
    reader = meddled(mongo, {("chat_messages", "insert_many"): pause, ("chat_sessions", "insert_one"): pause})
    looking = asyncio.create_task(reader.sessions.sessions("u1", "", True, PageRequest()))
    await pause.reached.wait()

    async def wake(done: Callable[[], Awaitable[Any]]) -> Any:
        # When the sessions are marked and the messages removed, and before the generations are.
        removed = await done()
        pause.over.set()
        await looking
        return removed

    deleter = cast(Any, MeddledMongo(mongo, {("chat_messages", "delete_many"): wake}))
    assert await MongoDeletions(deleter, lambda _: None).remove("u1")
    assert await left_of(mongo, "u1") == []


async def broken_off(mongo: Mongo) -> NewGeneration:
    """A generation whose session was made a tombstone, and no more."""
    stores = on_mongo(mongo)
    session = await stores.opened("u1")
    lease, new = await stores.started("u1", session)
    id_ = new.generation.generation_id
    assert await stores.records.append(lease, [Flush(id_, [text(2, 3, "privado")])]) == {id_}
    assert await stores.end(lease, new, "privado", 4)
    with pytest.raises(Crashed):
        await crashing(mongo, 1).sessions.delete_session(session.session_id, "u1")
    return new


@pytest.mark.parametrize("reads_events", [True, False])
async def test_a_deletion_that_was_broken_off_is_finished_by_whoever_reads_a_generation(
    mongo: Mongo, reads_events: bool
) -> None:
    new, records = await broken_off(mongo), on_mongo(mongo).records
    if reads_events:
        assert await records.events(new.generation.generation_id, 0, 10) == []
    else:
        found = await records.generation(new.generation.generation_id)
        assert found is not None
        assert (found.text, found.forgotten, found.state) == ("", True, State.COMPLETED)
    assert await mongo["chat_events"].count_documents({}) == 0


async def test_a_deletion_that_was_broken_off_is_finished_though_nobody_reads(mongo: Mongo) -> None:
    await broken_off(mongo)
    assert await on_mongo(mongo).records.forget_claims(timedelta(days=7)) == 0
    assert "privado" not in str([await mongo[name].find().to_list() for name in _NAMES])


async def test_the_sign_of_a_deletion_stays_until_all_else_is_gone(mongo: Mongo) -> None:
    await broken_off(mongo)
    # Whatever became of the mark: a week later the sign itself goes.
    await mongo["chat_sessions"].update_many({}, {"$unset": {"pending": ""}})
    while await on_mongo(mongo).records.forget_claims(_AT_ONCE):
        pass
    assert await mongo["chat_sessions"].count_documents({}) == 0
    assert "privado" not in str([await mongo[name].find().to_list() for name in _NAMES])


_NAMES = ("chat_generations", "chat_events", "chat_messages")


async def test_nothing_is_erased_because_a_session_is_not_found(mongo: Mongo) -> None:
    stores = on_mongo(mongo)
    session = await stores.opened()
    lease, new = await stores.started("u1", session)
    await mongo["chat_sessions"].delete_one({"_id": session.session_id})
    assert await stores.end(lease, new, "the answer")
    found = await stores.records.generation(new.generation.generation_id)
    assert found is not None
    assert (found.text, found.forgotten) == ("the answer", False)


async def test_a_list_has_no_session_that_is_deleted_meanwhile(mongo: Mongo) -> None:
    for commands in range(8):
        turns, stores = Turns(), on_mongo(mongo)
        session = await stores.opened()
        lister, deleter = (on_mongo(cast(Any, InterleavedMongo(mongo, number, turns))) for number in range(2))
        turns.follow([0] * commands + [1] * 20)
        listed: list[str] = []

        async def list_(lister: ChatStores = lister, listed: list[str] = listed) -> None:
            page = await lister.sessions.sessions("u1", "", True, PageRequest())
            listed += [found.title for found in page.items]

        async def delete(deleter: ChatStores = deleter, id_: str = session.session_id) -> None:
            assert await deleter.sessions.delete_session(id_, "u1") == []

        await turns.play(list_(), delete())
        assert listed in ([], ["a title"])


async def test_a_fork_whose_copies_may_be_lost_is_not_finished(mongo: Mongo) -> None:
    async def not_enough(done: Callable[[], Awaitable[Any]]) -> Any:
        await done()
        raise BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64, "errmsg": "timeout"}]})

    stores = on_mongo(mongo)
    session = await stores.opened()
    said = await stores.said(session, "one", "two")
    fork = a_session("u1", forked_from_session_id=session.session_id)
    with pytest.raises(Unavailable):
        await meddled(mongo, {("chat_messages", "insert_many"): not_enough}).sessions.fork_session(
            fork, said[1].message_id, None
        )
    # A failover took them back.
    await mongo["chat_messages"].delete_many({"session_id": fork.session_id})
    assert [message.text for message in await stores.listed(fork.session_id)] == ["one", "two"]


async def test_a_message_whose_request_id_was_just_freed_was_not_added(mongo: Mongo) -> None:
    claim, stores = ("u1", new_id(), b"d" * 32), on_mongo(mongo)
    session = await stores.opened()
    message = Message(
        new_id(), Role.USER, ("hola",), session_id=session.session_id, create_time=datetime.now(UTC)
    )

    async def freed(done: Callable[[], Awaitable[Any]]) -> Any:
        await stores.sessions.create_message(replace(message, message_id=new_id()), "u1", claim)
        try:
            return await done()
        except DuplicateKeyError:
            await mongo["chat_messages"].delete_many({})
            raise

    with pytest.raises(Unavailable):
        await meddled(mongo, {("chat_messages", "insert_one"): freed}).sessions.create_message(
            message, "u1", claim
        )
    assert await mongo["chat_messages"].count_documents({}) == 0


async def test_what_runs_is_looked_for_by_the_field_of_its_index(mongo: Mongo) -> None:
    # A partial index serves those queries alone that ask for its key.
    watched = MeddledMongo(mongo, {})
    records = on_mongo(cast(Any, watched)).records
    await records.take_over(await records.acquire(new_id(), TTL), sole_owner=False, limit=10)
    ((_, _, (field, wanted)),) = [asked for asked in watched.asked if asked[1] == "distinct"]
    assert (field, wanted["state"]) == ("owner_id", "running")
    assert field in wanted
    await mongo["chat_generations"].insert_one({"owner_id": "o", "state": "running"})
    assert await mongo["chat_generations"].distinct(field, wanted) == ["o"]
