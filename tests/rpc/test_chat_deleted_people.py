"""Somebody is deleted: what they made goes, from every process, and what was used stays."""

from __future__ import annotations

import uuid
from typing import Any

import grpc
import pytest
from antiphon.auth.v1 import auth_pb2
from antiphon.chat.v1 import chat_pb2
from antiphon.usage.v1 import usage_pb2

from tests.fakes.chat_stage import Cue, Stage
from tests.fakes.served_suite import (
    Metadata,
    Person,
    Serve,
    Served,
    bearer,
    events_of,
    failure,
    finished,
    next_event,
    until,
    words,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
PASSWORD = "a goat ate my bicycle"


async def registered(suite: Served) -> Person:
    """Somebody with an account, logged in."""
    email = f"{uuid.uuid4().hex}@example.com"
    await suite.auth.Register(auth_pb2.RegisterRequest(email=email, password=PASSWORD))
    login = await suite.auth.Login(auth_pb2.LoginRequest(email=email, password=PASSWORD))
    metadata = bearer(login.access_token)
    profile = await suite.auth.GetProfile(auth_pb2.GetProfileRequest(), metadata=metadata)
    return Person(profile.user.user_id, metadata)


async def delete(suite: Served, person: Person) -> None:
    await suite.auth.DeleteUser(
        auth_pb2.DeleteUserRequest(user_id=person.user_id), metadata=await suite.administrator()
    )


def asks(suite: Served, metadata: Metadata | None, **more: Any) -> Any:
    request = chat_pb2.StreamChatRequest(**{"message": "Hola", **more})
    return suite.chat.StreamChat(request, metadata=metadata)


async def named(suite: Served, person: Person) -> list[str]:
    """The tables of Chat's in which the person is. What counts the calls of the last minute forgets them by itself."""
    tables = await suite.rows(
        "select tablename from pg_tables where schemaname = 'chat' and tablename <> 'limits'"
    )
    found = []
    for (name,) in tables:
        rows = await suite.rows(
            f"select count(*) from chat.{name} t where strpos(t::text, %s) > 0", person.user_id
        )
        found += [name] if rows[0][0] else []
    payload = await suite.rows(
        "select count(*) from chat.outbox where position(%s::bytea in payload) > 0", person.user_id.encode()
    )
    return [*found, *(["the outbox's events"] if payload[0][0] else [])]


async def gone(suite: Served, person: Person, seconds: float = 10.0) -> None:
    async def look() -> bool:
        return not await named(suite, person)

    await until(look, seconds)


async def used(suite: Served) -> list[usage_pb2.UsageEvent]:
    found = await suite.rows("select payload from chat.outbox order by event_id")
    return [usage_pb2.UsageEvent.FromString(payload) for (payload,) in found]


async def test_what_they_made_goes_and_others_keep_theirs(suite: Served, model: Stage, ben: Person) -> None:
    ana = await registered(suite)
    events = await events_of(asks(suite, ana.metadata, request_id=str(uuid.uuid4())))
    session_id, answer = events[0].started.session_id, events[0].started.message_id
    question = chat_pb2.Message(role=chat_pb2.MESSAGE_ROLE_USER, parts=[chat_pb2.Part(text="¿Y sin sesión?")])
    conversation = chat_pb2.Conversation(messages=[question])
    request = chat_pb2.StreamChatRequest(conversation=conversation)
    await events_of(suite.chat.StreamChat(request, metadata=ana.metadata))
    his = await events_of(asks(suite, ben.metadata))
    nobodys = await events_of(asks(suite, None))
    assert len(await named(suite, ana)) > 2
    before = {event.event_id: event for event in await used(suite)}

    await delete(suite, ana)
    await gone(suite, ana)
    assert await suite.rows("select from chat.messages where session_id = %s", session_id) == []
    assert await suite.rows("select from chat.messages where message_id = %s", answer) == []

    after = {event.event_id: event for event in await used(suite)}
    assert after.keys() == before.keys()
    assert all(list(after[id_].quantities) == list(before[id_].quantities) for id_ in before)
    kept = await suite.chat.ListMessages(
        chat_pb2.ListMessagesRequest(session_id=his[0].started.session_id), metadata=ben.metadata
    )
    assert len(kept.messages) == 2
    started = nobodys[0].started
    resumed = await finished(
        suite.chat.ResumeStream(
            chat_pb2.ResumeStreamRequest(
                generation_id=started.generation_id, resume_token=started.resume_token
            )
        )
    )
    assert words([response.event for response in resumed]) == words(nobodys)


async def test_an_answer_that_is_being_made_ends_and_goes(suite: Served, model: Stage) -> None:
    ana = await registered(suite)
    cue = Cue("uno", "dos", "tres")
    model.play(cue.play)
    call = asks(suite, ana.metadata)
    await next_event(call)
    cue.next()
    await next_event(call)
    generation_id = (
        await suite.rows("select generation_id from chat.generations where user_id = %s", ana.user_id)
    )[0][0]

    await delete(suite, ana)
    await gone(suite, ana)
    await cue.gone.wait()
    state, usage = (
        await suite.rows("select state, usage from chat.generations where generation_id = %s", generation_id)
    )[0]
    assert state == "cancelled"
    assert usage, "what was used until then is still known"
    refused = await failure(
        suite.chat.ResumeStream(
            chat_pb2.ResumeStreamRequest(generation_id=str(generation_id)), metadata=ana.metadata
        )
    )
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_service_that_was_away_for_weeks_catches_up(serve: Serve, module_stage: Stage) -> None:
    module_stage.clear()
    async with serve() as suite:
        ana = await registered(suite)
        await events_of(asks(suite, ana.metadata))
    # Auth is there and Chat is not, and all tokens of that time have run out.
    await suite.rows("delete from auth.users where id = %s returning 1", ana.user_id)
    deleted = await suite.rows(
        "insert into auth.revocations (kind, subject_id, revoked_at, expires_at)"
        " values ('user_deleted', %s, now() - interval '21 days', now() - interval '21 days') returning id",
        ana.user_id,
    )
    async with serve() as suite:
        await gone(suite, ana)

        async def followed() -> bool:
            return await suite.rows("select revocation_id from chat.deletions") == deleted

        await until(followed)


async def test_an_answer_that_another_process_makes_ends_too(serve: Serve, module_stage: Stage) -> None:
    module_stage.clear()
    async with serve() as one, serve() as two:
        ana = await registered(one)
        cue = Cue("uno", "dos")
        module_stage.play(cue.play)
        call = asks(two, ana.metadata)
        await next_event(call)
        await delete(one, ana)
        await gone(one, ana)
        await cue.gone.wait()
    module_stage.clear()
