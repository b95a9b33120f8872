"""What is left in Chat's MongoDB of a person who was deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from antiphon.usage.v1 import usage_pb2

from services.chat.model import Lease, NewGeneration, State
from services.chat.ports import Flush
from services.chat.stores.mongo.deletions import MongoDeletions
from services.chat.stores.mongo.indexes import SESSION_INDEXES
from services.chat.stores.mongo.layout import GENERATION_INDEXES
from services.infra.mongo.client import Mongo
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes.chat_records import TTL, completed, failed, text, usage_event
from tests.fakes.chat_stores import ChatStores, on_mongo
from tests.fakes.crashing_mongo import Crashed, CrashingMongo

pytestmark = pytest.mark.peers


class Chat:
    """Chat's stores on one database, and what was cancelled in this process."""

    def __init__(self, mongo: Mongo) -> None:
        self.mongo = mongo
        self.stores: ChatStores = on_mongo(mongo)
        self.cancelled: list[str] = []
        self.deletions = MongoDeletions(mongo, self.cancelled.append)

    async def started(self, user_id: str, *, in_session: bool = True) -> tuple[Lease, NewGeneration]:
        """A generation of the person that runs and has said something."""
        session = await self.stores.opened(user_id) if in_session else None
        lease, new = await self.stores.started(user_id, session, request_id=new_id(), digest=bytes(32))
        await self.stores.records.append(
            lease, [Flush(new.generation.generation_id, [text(2, 3, "privado")])]
        )
        return lease, new

    async def answered(self, user_id: str, *, in_session: bool = True) -> NewGeneration:
        """A generation of the person that ended."""
        lease, new = await self.started(user_id, in_session=in_session)
        assert await self.end(lease, new)
        return new

    async def end(self, lease: Lease, new: NewGeneration) -> bool:
        event = replace(usage_event(new.generation), api_key_id=f"key of {new.generation.user_id}")
        return await self.stores.records.finish(lease, new.generation, completed(new, 4, "privado"), event)

    async def dump(self, *, but: tuple[str, ...] = ()) -> str:
        """Every document, bytes as they are."""
        names = [name for name in await self.mongo.database.list_collection_names() if name not in but]
        return "\n".join([str(found) for name in names async for found in self.mongo[name].find()])

    async def events(self) -> list[usage_pb2.UsageEvent]:
        """What the meter is told."""
        found = self.mongo["chat_generations"].find({"usage_event": {"$exists": True}}).sort("_id", 1)
        return [usage_pb2.UsageEvent.FromString(bytes(document["usage_event"])) async for document in found]


@pytest.fixture
async def chat(mongo_url: str) -> AsyncIterator[Chat]:
    async with Mongo(mongo_url) as mongo:
        await mongo.ensure_indexes({**GENERATION_INDEXES, **SESSION_INDEXES})
        yield Chat(mongo)


async def test_what_a_person_made_goes_and_what_was_used_stays(chat: Chat) -> None:
    ana, ben = new_id(), new_id()
    hers = [await chat.answered(ana), await chat.answered(ana, in_session=False)]
    his = await chat.answered(ben)
    before = await chat.events()
    records = chat.stores.records
    moments = (datetime.now(UTC) - timedelta(minutes=1), datetime.now(UTC) + timedelta(minutes=1))
    assert await chat.deletions.remove(ana)

    assert ana not in await chat.dump()
    # An empty session stays for a while as a sign that there is none.
    dump = await chat.dump(but=("chat_sessions",))
    for new in hers:
        for gone in (new.generation.request_id, new.generation.session_id):
            assert not gone or gone not in dump
    tombs = await chat.mongo["chat_sessions"].find({"deleted": True}).to_list()
    assert [
        {str(tomb.get(name, "")) for name in ("title", "user_id", "system_prompt")} for tomb in tombs
    ] == [{""}]
    theirs = await chat.stores.listed(his.generation.session_id)
    assert theirs[-1].text == "privado"
    assert len(await records.events(his.generation.generation_id, 0, 10)) == 3

    after = await chat.events()
    assert len(after) == 3
    for was, now in zip(before, after, strict=True):
        assert list(was.quantities) == list(now.quantities)
        assert now.user_id == ("" if was.user_id == ana else was.user_id)
        assert bool(now.api_key_id) is bool(now.user_id)
    sums = await records.summarize(*moments, 10)
    assert [(one.user_id, one.event_count) for one in sums] == [("", 2), (ben, 1)]


async def test_the_text_of_a_failure_goes_and_its_reason_stays(chat: Chat) -> None:
    ana = new_id()
    lease, new = await chat.started(ana)
    ending = failed(3, free_claim=False)
    assert await chat.stores.records.finish(lease, new.generation, ending, None)
    assert await chat.deletions.remove(ana)
    found = await chat.stores.records.generation(new.generation.generation_id)
    assert found is not None
    assert found.failure is not None
    assert ending.failure is not None
    assert (found.failure.code, found.failure.reason, found.failure.message) == (
        ending.failure.code,
        ending.failure.reason,
        "",
    )
    assert (found.text, found.reasoning, found.user_id, found.last_seq) == ("", "", "", ending.last_seq)


@pytest.mark.parametrize("in_session", [True, False])
async def test_what_runs_is_asked_to_end_and_goes_once_it_has(chat: Chat, in_session: bool) -> None:
    ana = new_id()
    lease, new = await chat.started(ana, in_session=in_session)
    id_ = new.generation.generation_id
    assert not await chat.deletions.remove(ana)
    assert chat.cancelled == [id_]
    assert (await chat.stores.sessions.sessions(ana, "", True, PageRequest())).total_size == 0

    # Whoever makes it keeps its lease, and learns of it there; its record is still its own.
    renewal = await chat.stores.records.renew(lease, TTL)
    assert renewal is not None
    assert renewal.to_cancel == frozenset({id_})
    assert await chat.stores.records.append(lease, [Flush(id_, [text(4, 4, "!")])]) == {id_}
    assert await chat.stores.records.state(id_) is State.RUNNING
    assert not await chat.deletions.remove(ana)

    assert await chat.stores.records.finish(
        lease, new.generation, completed(new, 5, "privado!"), usage_event(new.generation)
    )
    assert await chat.deletions.remove(ana)
    dump = await chat.dump()
    assert ana not in dump
    assert "privado" not in dump
    assert len(await chat.events()) == 1
    assert await chat.stores.records.running(lease) == []


async def test_the_end_of_one_that_was_forgotten_is_taken_again(chat: Chat) -> None:
    # The reply to the first attempt was lost, and the person was removed before the second.
    ana = new_id()
    lease, new = await chat.started(ana)
    ending, event = completed(new, 4, "privado"), usage_event(new.generation)
    assert await chat.stores.records.finish(lease, new.generation, ending, event)
    assert await chat.deletions.remove(ana)
    assert await chat.stores.records.finish(lease, new.generation, ending, event)
    assert ana not in await chat.dump()


async def test_others_and_those_without_a_name_keep_everything(chat: Chat) -> None:
    ben = new_id()
    anonymous = await chat.answered("", in_session=False)
    await chat.answered(ben)
    before = await chat.dump()
    assert await chat.deletions.remove(new_id())
    assert await chat.deletions.remove("")
    assert await chat.dump() == before
    found = await chat.stores.records.generation(anonymous.generation.generation_id)
    assert found is not None
    assert found.text == "privado"


async def test_several_processes_remove_the_same_person_at_once(chat: Chat) -> None:
    ana = new_id()
    for number in range(12):
        await chat.answered(ana, in_session=number % 2 == 0)
    others = [MongoDeletions(chat.mongo, lambda _: None) for _ in range(4)]
    assert all(await asyncio.gather(*(other.remove(ana) for other in others)))
    dump = await chat.dump()
    assert ana not in dump
    assert "privado" not in dump
    assert len(await chat.events()) == 12


async def test_a_crash_on_the_way_is_made_up_for_by_asking_again(chat: Chat) -> None:
    for writes in range(60):
        ana = new_id()
        await chat.answered(ana)
        await chat.answered(ana, in_session=False)
        crashing = MongoDeletions(cast(Any, CrashingMongo(chat.mongo, writes)), lambda _: None)
        try:
            assert await crashing.remove(ana)
        except Crashed:
            assert await chat.deletions.remove(ana)
            assert ana not in await chat.dump()
        else:
            break
    dump = await chat.dump()
    assert ana not in dump
    assert "privado" not in dump


async def test_more_than_a_step_removes(chat: Chat) -> None:
    ana = new_id()
    _, new = await chat.started(ana, in_session=False)
    await chat.mongo["chat_generations"].update_one(
        {"_id": new.generation.generation_id}, {"$set": {"state": "completed"}, "$unset": {"claim": ""}}
    )
    (model,) = await chat.mongo["chat_generations"].find().to_list()
    await chat.mongo["chat_generations"].insert_many([{**model, "_id": new_id()} for _ in range(450)])
    assert await chat.deletions.remove(ana)
    assert ana not in await chat.dump()
    assert await chat.mongo["chat_generations"].count_documents({}) == 451


async def test_the_position_moves_in_one_direction_until_the_feed_is_another(chat: Chat) -> None:
    assert await chat.deletions.position() == 0
    await asyncio.gather(*(chat.deletions.advance(number) for number in (3, 7, 5)))
    await chat.deletions.advance(5)
    assert await chat.deletions.position() == 7
    await chat.deletions.restart()
    assert await chat.deletions.position() == 0


async def test_bytes_that_are_no_event_hold_no_deletion_up(chat: Chat) -> None:
    ana, others = new_id(), chat.mongo["chat_outbox"]
    poison = f"\xff\xff{ana}".encode("latin-1")
    await chat.answered(ana)
    await chat.answered(ana)
    await chat.mongo["chat_generations"].update_one({}, {"$set": {"usage_event": poison}})
    for why in ({}, {"set_aside": "as it was"}):
        await others.insert_one({"_id": new_id(), "user_id": ana, "payload": poison, "created_at": 0, **why})
    assert await chat.deletions.remove(ana)
    assert ana not in await chat.dump(but=("chat_relay",))
    left = await others.find().to_list()
    assert [(bytes(one["payload"]), one["user_id"]) for one in left] == [(b"", "")] * 3
    assert [one["set_aside"] for one in left].count("as it was") == 1
    assert all(one["set_aside"] for one in left)
    assert len(await chat.events()) == 1
