"""What is left in Chat of a person who was deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from antiphon.usage.v1 import usage_pb2

from services.capabilities.claims.model import Claim
from services.capabilities.claims.sql import SqlClaims
from services.capabilities.metering.model import UsageEvent
from services.chat.model import Lease, NewGeneration, State
from services.chat.ports import Flush, Renewal
from services.chat.stores.deletions import SqlDeletions
from services.chat.stores.records import SqlRecordStore
from services.chat.stores.warming import warm
from services.infra.postgres.database import Database
from services.kernel.ids import new_id
from tests.fakes.chat_records import (
    TTL,
    begun,
    completed,
    failed,
    new_generation,
    new_session,
    text,
    usage_event,
)


def metered(new: NewGeneration) -> UsageEvent:
    return replace(usage_event(new.generation), api_key_id=new.generation.api_key_id)


class Chat:
    """Chat's stores on one database, and what was cancelled in this process."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.records = SqlRecordStore(database)
        self.cancelled: list[str] = []
        self.deletions = SqlDeletions(database, self.cancelled.append)

    async def rows(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(query.encode(), values)
            return await cursor.fetchall()

    async def started(self, user_id: str, *, in_session: bool = True) -> tuple[Lease, NewGeneration]:
        """A generation of the person that runs and has said something."""
        session = new_session(user_id) if in_session else None
        new = new_generation(user_id=user_id, session=session, request_id=new_id(), digest=bytes(32))
        new = replace(new, generation=replace(new.generation, api_key_id=f"key of {user_id}"))
        lease = await begun(self.records, new)
        await self.records.append(lease, [Flush(new.generation.generation_id, [text(2, 3, "privado")])])
        return lease, new

    async def answered(self, user_id: str, *, in_session: bool = True) -> NewGeneration:
        """A generation of the person that ended."""
        lease, new = await self.started(user_id, in_session=in_session)
        await self.end(lease, new)
        return new

    async def end(self, lease: Lease, new: NewGeneration) -> bool:
        return await self.records.finish(lease, new.generation, completed(new, 4, "privado"), metered(new))

    async def events(self) -> list[usage_pb2.UsageEvent]:
        found = await self.rows("select payload from chat.outbox order by event_id")
        return [usage_pb2.UsageEvent.FromString(payload) for (payload,) in found]

    async def dump(self) -> str:
        """Every row of every table of Chat's, bytes as they are."""
        tables = await self.rows("select tablename from pg_tables where schemaname = 'chat'")
        found = [await self.rows(f"select t::text from chat.{name} t") for (name,) in tables]
        payloads = await self.rows(
            "select encode(payload, 'escape') from chat.outbox"
            " union all select encode(payload, 'escape') from chat.generation_events"
        )
        return "\n".join(text for rows in [*found, payloads] for (text,) in rows)


@pytest.fixture
async def chat(migrated_url: str) -> AsyncIterator[Chat]:
    async with Database(migrated_url, warm=[warm]) as database:
        yield Chat(database)


async def test_what_a_person_made_goes_and_what_was_used_stays(chat: Chat) -> None:
    ana, ben = new_id(), new_id()
    hers = [await chat.answered(ana), await chat.answered(ana, in_session=False)]
    await chat.answered(ben)
    before = await chat.events()
    assert await chat.deletions.remove(ana)

    dump = await chat.dump()
    assert ana not in dump
    for new in hers:
        for gone in (new.generation.request_id, new.generation.session_id):
            assert not gone or gone not in dump
    assert dump.count("privado") == 2, "Ben's message and his events are left"
    assert [len(await chat.rows(f"select from chat.{name}")) for name in ("sessions", "claims")] == [1, 1]

    stored = await chat.rows("select state, model, project, usage from chat.generations")
    assert len(stored) == 3
    assert all(row[0] == "completed" and row[1] == "echo" and row[3] for row in stored)
    after = await chat.events()
    assert len(after) == 3
    for was, now in zip(before, after, strict=True):
        assert list(was.quantities) == list(now.quantities)
        assert now.user_id == ("" if was.user_id == ana else was.user_id)
    assert [event.api_key_id or event.session_id for event in after if not event.user_id] == ["", ""]


async def test_the_text_of_a_failure_goes_and_its_reason_stays(chat: Chat) -> None:
    ana = new_id()
    lease, new = await chat.started(ana)
    ending = failed(3, free_claim=False)
    assert await chat.records.finish(lease, new.generation, ending, None)
    assert await chat.deletions.remove(ana)
    found = await chat.records.generation(new.generation.generation_id)
    assert found is not None
    assert found.failure is not None
    assert ending.failure is not None
    assert (found.failure.code, found.failure.reason, found.failure.message) == (
        ending.failure.code,
        ending.failure.reason,
        "",
    )
    assert (found.text, found.reasoning, found.user_id, found.last_seq) == ("", "", "", ending.last_seq)


async def test_what_runs_is_asked_to_end_and_goes_once_it_has(chat: Chat) -> None:
    ana = new_id()
    lease, new = await chat.started(ana)
    id_ = new.generation.generation_id
    assert not await chat.deletions.remove(ana)
    assert chat.cancelled == [id_]
    assert await chat.rows("select from chat.sessions") == []

    # Whoever makes it keeps its lease, and learns of it there; its record is still its own.
    assert await chat.records.renew(lease, TTL) == Renewal(frozenset({id_}))
    assert await chat.records.append(lease, [Flush(id_, [text(4, 4, "!")])]) == {id_}
    found = await chat.records.generation(id_)
    assert found is not None
    assert found.state is State.RUNNING
    assert not await chat.deletions.remove(ana)

    assert await chat.records.finish(
        lease, new.generation, completed(new, 5, "privado!"), usage_event(new.generation)
    )
    assert await chat.deletions.remove(ana)
    dump = await chat.dump()
    assert ana not in dump
    assert "privado" not in dump
    assert len(await chat.events()) == 1
    assert await chat.records.running(lease) == []


async def test_the_end_of_one_that_was_forgotten_is_taken_again(chat: Chat) -> None:
    # The reply to the first attempt was lost, and the person was removed before the second.
    ana = new_id()
    lease, new = await chat.started(ana)
    ending, event = completed(new, 4, "privado"), usage_event(new.generation)
    assert await chat.records.finish(lease, new.generation, ending, event)
    assert await chat.deletions.remove(ana)
    assert await chat.records.finish(lease, new.generation, ending, event)
    assert ana not in await chat.dump()


async def test_an_end_is_kept_while_its_session_is_being_deleted(chat: Chat) -> None:
    ana = new_id()
    lease, new = await chat.started(ana)
    async with chat.database.transaction() as connection:
        await connection.execute(
            "delete from chat.sessions where session_id = %s", (new.generation.session_id,)
        )
        ending = asyncio.create_task(chat.end(lease, new))
        async with asyncio.timeout(5):
            waiting: list[Any] = []
            while not waiting:
                waiting = await chat.rows(
                    "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
                )
    assert await ending
    found = await chat.records.generation(new.generation.generation_id)
    assert found is not None
    assert found.state is State.COMPLETED
    assert len(await chat.events()) == 1


async def test_others_and_those_without_a_name_keep_everything(chat: Chat) -> None:
    ben = new_id()
    anonymous = await chat.answered("", in_session=False)
    await chat.answered(ben)
    before = await chat.dump()
    assert await chat.deletions.remove(new_id())
    assert await chat.dump() == before
    found = await chat.records.generation(anonymous.generation.generation_id)
    assert found is not None
    assert found.text == "privado"


async def test_several_processes_remove_the_same_person_at_once(chat: Chat) -> None:
    ana = new_id()
    for number in range(12):
        await chat.answered(ana, in_session=number % 2 == 0)
    others = [SqlDeletions(chat.database, lambda _: None) for _ in range(4)]
    assert all(await asyncio.gather(*(other.remove(ana) for other in others)))
    assert ana not in await chat.dump()
    assert len(await chat.events()) == 12


async def test_more_than_a_step_removes(chat: Chat) -> None:
    ana = new_id()
    await chat.rows(
        "with s as (insert into chat.sessions (session_id, user_id, title, project, model, system_prompt)"
        " select gen_random_uuid(), %(user)s, '', '', '', '' from generate_series(1, 250) returning session_id)"
        " insert into chat.messages (message_id, session_id, role, texts)"
        " select gen_random_uuid(), session_id, 'user', '{hola}' from s, generate_series(1, 3) returning 1",
        user=ana,
    )
    await chat.rows(
        "insert into chat.generations (generation_id, message_id, user_id, api_key_id, input_tokens_estimate, caller, operation,"
        " project, model, provider, state, last_seq, owner_id, epoch, created_at, ended_at)"
        " select gen_random_uuid(), gen_random_uuid(), %(user)s, '', 1, %(user)s, 'Chat', '', 'echo', 'echo', 'completed', 2,"
        " gen_random_uuid(), 1, now(), now() from generate_series(1, 450) returning 1",
        user=ana,
    )
    payloads = [usage_pb2.UsageEvent(event_id=new_id(), user_id=ana).SerializeToString() for _ in range(4100)]
    async with chat.database.connection() as connection, connection.cursor() as cursor:
        await cursor.executemany(
            "insert into chat.outbox (event_id, payload) values (gen_random_uuid(), %s)",
            [(payload,) for payload in payloads],
        )
        for _ in range(3):
            await SqlClaims("chat").take(connection, Claim(ana, new_id(), bytes(32)), new_id())
    assert await chat.deletions.remove(ana)
    assert ana not in await chat.dump()
    counts = await chat.rows(
        "select (select count(*) from chat.sessions), (select count(*) from chat.messages),"
        " (select count(*) from chat.generations), (select count(*) from chat.outbox), (select count(*) from chat.claims)"
    )
    assert counts == [(0, 0, 450, 4100, 0)]


async def test_an_event_says_whose_it_is(chat: Chat) -> None:
    ben = new_id()
    await chat.answered(ben)
    await chat.answered("", in_session=False)
    assert sorted(await chat.rows("select user_id from chat.outbox")) == [("",), (ben,)]


async def test_events_of_an_older_version_are_asked_whose_they_are_once(chat: Chat) -> None:
    ana, ben = new_id(), new_id()
    await chat.answered(ana)
    await chat.answered(ben)
    before = await chat.events()
    await chat.rows("update chat.outbox set user_id = null returning 1")
    assert await chat.deletions.remove(new_id())
    assert await chat.events() == before
    assert sorted(await chat.rows("select user_id from chat.outbox")) == sorted([(ana,), (ben,)])
    assert await chat.deletions.remove(ana)
    assert ana not in await chat.dump()
    assert [event for event in await chat.events() if event.user_id == ben] == [
        event for event in before if event.user_id == ben
    ]


@pytest.mark.parametrize("version", ["this", "older"])
async def test_bytes_that_are_no_event_hold_no_deletion_up(chat: Chat, version: str) -> None:
    ana = new_id()
    await chat.answered(ana)
    poison = f"\xff\xff{ana}".encode("latin-1")
    await chat.rows(
        "insert into chat.outbox (event_id, user_id, payload) values (gen_random_uuid(), %(user)s, %(payload)s)"
        " returning 1",
        user=ana if version == "this" else None,
        payload=poison,
    )
    assert await chat.deletions.remove(ana)
    assert await chat.rows("select count(*) from chat.outbox where user_id = ''") == [(2,)]
    left = await chat.rows("select payload, set_aside is not null from chat.outbox order by created_at desc")
    # Whose an older version's was, nobody can tell.
    assert left[0] == ((b"", True) if version == "this" else (poison, False))
    assert left[1][1] is False


async def test_events_of_others_are_not_read(chat: Chat, migrated_url: str) -> None:
    ana = new_id()
    for _ in range(3):
        await chat.answered(ana)
    other = usage_pb2.UsageEvent(event_id=new_id(), user_id=new_id())
    await chat.rows(
        "insert into chat.outbox (event_id, user_id, payload)"
        " select gen_random_uuid(), %(user)s, %(payload)s from generate_series(1, 5000) returning 1",
        user=other.user_id,
        payload=other.SerializeToString(),
    )
    read = """
        select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0), n_tup_upd
        from pg_stat_user_tables where schemaname = 'chat' and relname = 'outbox'
    """
    async with chat.database.connection() as connection:
        await connection.execute("analyze chat.outbox")
    # What a connection has read is counted at its end.
    async with Database(migrated_url, warm=[warm]) as database:
        assert await SqlDeletions(database, lambda _: None).remove(ana)
    async with asyncio.timeout(10):
        found = await chat.rows(read)
        while found[0][1] < 3:
            found = await chat.rows(read)
    assert found[0][0] < 100, "rows of others were read"


async def test_the_position_moves_in_one_direction_until_the_feed_is_another(chat: Chat) -> None:
    assert await chat.deletions.position() == 0
    await chat.deletions.advance(7)
    await chat.deletions.advance(5)
    assert await chat.deletions.position() == 7
    await chat.deletions.restart()
    assert await chat.deletions.position() == 0
