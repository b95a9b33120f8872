"""What a crash between any two writes leaves of sessions in MongoDB: the next reader finds all of it, or none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from services.chat.model import Message, Role, State
from services.chat.stores.mongo.erasing import Erasing
from services.chat.stores.mongo.forks import copy_id
from services.chat.stores.mongo.indexes import SESSION_INDEXES
from services.chat.stores.mongo.layout import GENERATION_INDEXES
from services.infra.mongo.client import Mongo
from services.kernel.errors import AlreadyExists
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes.chat_stores import ChatStores, new_session, on_mongo
from tests.fakes.crashing_mongo import Crashed, CrashingMongo

pytestmark = pytest.mark.peers

_MOST_WRITES = 30


@pytest.fixture
async def mongo(mongo_url: str) -> AsyncIterator[Mongo]:
    async with Mongo(mongo_url) as opened:
        await opened.ensure_indexes({**GENERATION_INDEXES, **SESSION_INDEXES})
        yield opened


def crashing(mongo: Mongo, writes: int) -> ChatStores:
    return on_mongo(cast(Any, CrashingMongo(mongo, writes)))


async def test_a_fork_is_whole_or_was_never_made(mongo: Mongo) -> None:
    stores = on_mongo(mongo)
    session = await stores.opened()
    said = await stores.said(session, *(f"hola {number}" for number in range(5)))
    outcomes = set()
    for writes in range(_MOST_WRITES):
        fork = new_session("u1", title="the fork", forked_from_session_id=session.session_id)
        try:
            await crashing(mongo, writes).sessions.fork_session(fork, said[3].message_id, None)
        except Crashed:
            crashed = True
        else:
            crashed = False
        listed = [message.text for message in await on_mongo(mongo).listed(fork.session_id)]
        found = await on_mongo(mongo).sessions.session(fork.session_id, "u1")
        assert (found, listed) in [(None, []), (fork, ["hola 0", "hola 1", "hola 2", "hola 3"])]
        outcomes.add(bool(listed))
        if not crashed:
            assert listed
            break
    else:
        pytest.fail("it never came to its end")
    assert outcomes == {True, False}
    assert await mongo["chat_sessions"].count_documents({"pending": {"$exists": True}}) == 0


async def test_a_half_made_fork_does_not_lose_what_is_deleted_before_it_is_finished(mongo: Mongo) -> None:
    stores = on_mongo(mongo)
    session = await stores.opened()
    said = await stores.said(session, "one", "two")
    fork = new_session("u1", forked_from_session_id=session.session_id)
    with pytest.raises(Crashed):
        await crashing(mongo, 1).sessions.fork_session(fork, said[1].message_id, None)
    assert await stores.sessions.delete_session(session.session_id, "u1") == []
    assert [message.text for message in await stores.listed(fork.session_id)] == ["one", "two"]


async def test_a_deletion_is_whole_or_was_never_begun(mongo: Mongo) -> None:
    for writes in range(_MOST_WRITES):
        stores = on_mongo(mongo)
        session = await stores.opened("u1", title="privado", system_prompt="privado")
        new = await stores.answered("u1", session, "privado")
        _, running = await stores.started("u1", session)
        claim = ("u1", new_id(), b"d" * 32)
        asked = Message(
            new_id(),
            Role.USER,
            ("privado",),
            session_id=session.session_id,
            create_time=datetime.now(UTC),
        )
        await stores.sessions.create_message(asked, "u1", claim)
        before = len(await stores.listed(session.session_id))
        try:
            await crashing(mongo, writes).sessions.delete_session(session.session_id, "u1")
        except Crashed:
            crashed = True
        else:
            crashed = False
        # Somebody who looks at something else finishes it.
        page = await on_mongo(mongo).sessions.sessions("u1", "", True, PageRequest())
        hits = await on_mongo(mongo).sessions.search("u1", "", "privado", PageRequest())
        messages = [document async for document in mongo["chat_messages"].find({"texts": "privado"})]
        ended = await stores.records.generation(new.generation.generation_id)
        still = await stores.records.generation(running.generation.generation_id)
        assert ended is not None
        assert still is not None
        if page.items:
            assert page.items[0].session_id == session.session_id
            assert len(await stores.listed(session.session_id)) == before
            assert len(hits.items) == 2
            assert ended.text == "privado"
            assert await stores.sessions.delete_session(session.session_id, "u1")
        else:
            assert (messages, list(hits.items)) == ([], [])
            assert (ended.text, ended.state, ended.forgotten) == ("", State.COMPLETED, True)
            assert still.forgotten
            assert await stores.records.events(new.generation.generation_id, 0, 10) == []
        if not crashed:
            break
    else:
        pytest.fail("it never came to its end")


async def test_a_message_is_there_whole_or_not_at_all(mongo: Mongo) -> None:
    stores = on_mongo(mongo)
    session = await stores.opened(title="")
    for writes in range(_MOST_WRITES):
        message = Message(
            new_id(), Role.USER, ("hola",), session_id=session.session_id, create_time=datetime.now(UTC)
        )
        claim = ("u1", new_id(), b"d" * 32)
        try:
            await crashing(mongo, writes).sessions.create_message(message, "u1", claim)
        except Crashed:
            pass
        else:
            break
        # The caller tries again, and is answered as if nothing had happened.
        again = replace(message, message_id=new_id())
        assert await stores.sessions.create_message(again, "u1", claim) in (message, again)
    listed = await stores.listed(session.session_id)
    assert len({one.message_id for one in listed}) == len(listed) == writes + 1


async def test_a_message_of_a_session_that_is_being_deleted_is_taken_back(mongo: Mongo) -> None:
    stores = on_mongo(mongo)

    async def one() -> None:
        session = await stores.opened()
        message = Message(
            new_id(), Role.USER, ("hola",), session_id=session.session_id, create_time=datetime.now(UTC)
        )
        _, deleted = await asyncio.gather(
            stores.sessions.create_message(message, "u1", None),
            stores.sessions.delete_session(session.session_id, "u1"),
        )
        assert deleted == []

    await asyncio.gather(*(one() for _ in range(10)))
    assert await mongo["chat_messages"].count_documents({}) == 0


async def test_a_late_copy_does_not_bring_back_a_fork_that_was_deleted(mongo: Mongo) -> None:
    # A process copies, is paused before its last step, and wakes when the fork was finished by another one and deleted.
    stores = on_mongo(mongo)
    session = await stores.opened()
    said = await stores.said(session, "one")
    fork = new_session("u1", forked_from_session_id=session.session_id)
    with pytest.raises(Crashed):
        await crashing(mongo, 1).sessions.fork_session(fork, said[0].message_id, None)
    found = await mongo["chat_sessions"].find_one({"_id": fork.session_id})
    assert found is not None
    assert await stores.sessions.session(fork.session_id, "u1") == fork
    assert await stores.sessions.delete_session(fork.session_id, "u1") == []
    assert not await stores.sessions._forks.finish(found)  # type: ignore[attr-defined]
    assert await mongo["chat_messages"].count_documents({"session_id": fork.session_id}) == 0


async def test_a_request_id_is_not_for_two_kinds_of_calls(mongo: Mongo) -> None:
    stores = on_mongo(mongo)
    session, request_id = await stores.opened(), new_id()
    claim = ("u1", request_id, b"d" * 32)
    (message,) = await stores.said(session, "hola")
    await stores.sessions.create_session(new_session("u1"), claim)
    other = ("u1", request_id, b"e" * 32)
    with pytest.raises(AlreadyExists):
        await stores.sessions.create_message(replace(message, message_id=new_id()), "u1", other)
    with pytest.raises(AlreadyExists):
        await stores.started("u1", session, request_id=request_id, digest=b"e" * 32)


async def test_hits_come_from_an_index_in_the_order_that_they_are_ranked_from(mongo: Mongo) -> None:
    # Without it the server reads and sorts every hit before it leaves most of them out.
    indexes = await mongo["chat_messages"].index_information()
    assert indexes["words_newest"]["key"] == [("user_id", 1), ("words", 1), ("_id", -1)]


def test_copies_have_the_order_of_what_they_are_copies_of() -> None:
    session_id, messages = new_id(), [new_id() for _ in range(200)]
    copies = [copy_id(session_id, message) for message in messages]
    assert copies == sorted(set(copies))
    assert copies == [copy_id(session_id, message) for message in messages]
    assert not set(copies) & {copy_id(new_id(), message) for message in messages}


async def test_what_was_deleted_is_forgotten_after_a_while(mongo: Mongo) -> None:
    stores = on_mongo(mongo)
    session = await stores.opened()
    await stores.said(session, "hola")
    await stores.sessions.delete_session(session.session_id, "u1")
    erasing = Erasing(mongo.database)
    assert await erasing.forget_tombstones(session.create_time) == 0
    assert await erasing.forget_tombstones(datetime.now(UTC)) == 1
    assert await mongo["chat_sessions"].count_documents({}) == 0
