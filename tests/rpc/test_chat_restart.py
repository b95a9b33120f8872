"""A suite that stops, the next one on its database, and two of them side by side."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from datetime import UTC, datetime
from typing import Any

import grpc
import psycopg
import pytest
from antiphon.chat.v1 import chat_pb2
from antiphon.usage.v1 import usage_pb2

from services.chat.mapping.events import events_to_bytes
from services.chat.model import Event, Started, TextDelta
from services.kernel.ids import new_id
from tests.fakes.chat_stage import Cue, Stage
from tests.fakes.served_suite import (
    Failed,
    Person,
    Serve,
    Served,
    assert_dense,
    events_of,
    failed,
    failure,
    next_event,
    told,
    until,
    words,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.long]

INTERRUPTED = chat_pb2.GENERATION_STATE_INTERRUPTED


def asked(**more: Any) -> chat_pb2.StreamChatRequest:
    return chat_pb2.StreamChatRequest(**{"message": "Tell me", **more})


def resumed(suite: Served, person: Person, generation_id: str, after_seq: int = 0) -> Any:
    request = chat_pb2.ResumeStreamRequest(generation_id=generation_id, after_seq=after_seq)
    return suite.chat.ResumeStream(request, metadata=person.metadata)


async def test_an_answer_that_a_stop_interrupts_is_there_after_the_next_start(
    serve: Serve, model: Stage, ana: Person
) -> None:
    cue = Cue("one ", "two ", "never")
    model.play(cue.play)
    request = asked(request_id=str(uuid.uuid4()))
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(serve(ANTIPHON_SERVER__GRACE="0.2"))
        call = first.chat.StreamChat(request, metadata=ana.metadata)
        events = [await next_event(call)]
        cue.next(2)
        events.append(await next_event(call))
        reading = asyncio.create_task(told(call))
        await stack.aclose()
        rest, interrupted = await reading
    events += rest
    generation_id, session_id = events[0].started.generation_id, events[0].started.session_id
    assert interrupted is not None
    assert interrupted.what == ("ABORTED", "GENERATION_INTERRUPTED")
    assert interrupted.metadata == {"generation_id": generation_id}
    assert words(events) == "one two "
    async with asyncio.timeout(1):
        await cue.gone.wait()

    async with serve() as second:
        made = (
            await second.chat.GetGeneration(
                chat_pb2.GetGenerationRequest(generation_id=generation_id), metadata=ana.metadata
            )
        ).generation
        assert (made.state, made.text, made.error_reason) == (
            INTERRUPTED,
            "one two ",
            "GENERATION_INTERRUPTED",
        )
        for position in range(len(events) + 1):
            after = events[position - 1].seq if position else 0
            found, status = await told(resumed(second, ana, generation_id, after))
            assert_dense(found, after)
            assert words(found) == words(events[position:])
            assert status is not None
            assert (status.what, status.text, status.metadata) == (
                interrupted.what,
                interrupted.text,
                interrupted.metadata,
            )
        # The same call again gets the same record, since something was made; the conversation goes on with it.
        found, status = await told(second.chat.StreamChat(request, metadata=ana.metadata))
        assert (words(found), status and status.what) == ("one two ", interrupted.what)
        listed = await second.chat.ListMessages(
            chat_pb2.ListMessagesRequest(session_id=session_id), metadata=ana.metadata
        )
        assert [message.parts[0].text for message in listed.messages] == ["one two ", "Tell me"]
        metered = await second.metered(ana)
        assert [(event.status, event.error_reason) for event in metered] == [
            (usage_pb2.USAGE_STATUS_ERROR, "GENERATION_INTERRUPTED")
        ]
        model.clear()
        again = asked(session_id=session_id)
        assert words(await events_of(second.chat.StreamChat(again, metadata=ana.metadata)))
        assert [turn["role"] for turn in model.exchanges[0].json["messages"]] == ["user", "assistant", "user"]


async def test_a_stop_lets_answers_end_and_takes_no_new_calls(
    serve: Serve, model: Stage, ana: Person
) -> None:
    cue = Cue("one ", "two")
    model.play(cue.play)
    async with contextlib.AsyncExitStack() as stack:
        suite = await stack.enter_async_context(serve(ANTIPHON_SERVER__GRACE="10"))
        call = suite.chat.StreamChat(asked(), metadata=ana.metadata)
        await next_event(call)
        stopping = asyncio.create_task(stack.aclose())

        async def refused() -> Failed | None:
            try:
                await suite.chat.ListModels(chat_pb2.ListModelsRequest())
            except grpc.aio.AioRpcError as error:
                return failed(error)
            return None

        found = await until(refused)
        assert found.what == ("UNAVAILABLE", "SHUTTING_DOWN")
        assert found.retry > 0
        cue.next(2)
        events, status = await told(call)
        assert (words(events), status) == ("one two", None)
        await stopping


async def test_an_answer_that_nobody_watches_is_recorded_before_the_suite_is_gone(
    serve: Serve, model: Stage, ana: Person
) -> None:
    cue = Cue("one ", "two")
    model.play(cue.play)
    async with contextlib.AsyncExitStack() as stack:
        suite = await stack.enter_async_context(serve(ANTIPHON_SERVER__GRACE="10"))
        call = suite.chat.StreamChat(asked(), metadata=ana.metadata)
        generation_id = (await next_event(call)).started.generation_id
        call.cancel()
        stopping = asyncio.create_task(stack.aclose())
        cue.next(2)
        await stopping
        rows = await suite.rows("select state from chat.generations where generation_id = %s", generation_id)
        assert rows == [("completed",)]


async def test_sessions_people_and_tokens_outlive_a_restart(serve: Serve, model: Stage, ana: Person) -> None:
    async with serve() as first:
        assert first.admin_password
        admin = await first.administrator()
        events = await events_of(first.chat.StreamChat(asked(), metadata=ana.metadata))
        anonymous = await events_of(first.chat.StreamChat(asked()))
        page = await first.chat.ListMessages(
            chat_pb2.ListMessagesRequest(session_id=events[0].started.session_id, page_size=1),
            metadata=ana.metadata,
        )
    async with serve() as second:
        assert not second.admin_password
        rest = await second.chat.ListMessages(
            chat_pb2.ListMessagesRequest(
                session_id=events[0].started.session_id, page_size=1, page_token=page.next_page_token
            ),
            metadata=ana.metadata,
        )
        listed = await second.chat.ListSessions(
            chat_pb2.ListSessionsRequest(user_id=ana.user_id), metadata=admin
        )
        assert [session.session_id for session in listed.sessions] == [events[0].started.session_id]
        assert [message.parts[0].text for message in rest.messages] == ["Tell me"]
        started = anonymous[0].started
        request = chat_pb2.ResumeStreamRequest(
            generation_id=started.generation_id, resume_token=started.resume_token
        )
        assert words(await events_of(second.chat.ResumeStream(request))) == words(anonymous)


async def test_another_replica_shows_and_cancels_what_this_one_makes(
    serve: Serve, model: Stage, ana: Person, ben: Person
) -> None:
    cue = Cue("one ", "two ", "never")
    model.play(cue.play)
    async with serve(ANTIPHON_CHAT__LEASE_TTL="1") as here, serve(ANTIPHON_CHAT__LEASE_TTL="1") as there:
        request = asked(request_id=str(uuid.uuid4()))
        call = here.chat.StreamChat(request, metadata=ana.metadata)
        events = [await next_event(call)]
        generation_id = events[0].started.generation_id
        watcher = resumed(there, ana, generation_id)
        assert await next_event(watcher) == events[0]
        cue.next()
        seen = await next_event(watcher)
        assert seen.text_delta.text == "one "
        repeated = there.chat.StreamChat(request, metadata=ana.metadata)
        assert (await next_event(repeated)).started.generation_id == generation_id
        cancel = chat_pb2.CancelGenerationRequest(generation_id=generation_id)
        stranger = await failure(there.chat.CancelGeneration(cancel, metadata=ben.metadata))
        assert stranger.what == ("NOT_FOUND", "NOT_FOUND")
        response = await there.chat.CancelGeneration(cancel, metadata=ana.metadata)
        assert response.generation.state == chat_pb2.GENERATION_STATE_CANCELLED
        for stream in (call, watcher, repeated):
            last = (await events_of(stream))[-1]
            assert last.finished.reason == chat_pb2.FINISH_REASON_CANCELLED
        assert len(await here.metered(ana)) == 1


async def test_a_replica_that_died_is_replaced_by_another(serve: Serve, model: Stage, ana: Person) -> None:
    cue = Cue("one ", "never")
    model.play(cue.play)
    async with serve(ANTIPHON_CHAT__LEASE_TTL="1") as here, serve(ANTIPHON_CHAT__LEASE_TTL="1") as there:
        call = here.chat.StreamChat(asked(), metadata=ana.metadata)
        generation_id = (await next_event(call)).started.generation_id
        cue.next()
        await next_event(call)
        # To the others a process that was silent for too long is dead, whatever it thinks itself.
        await here.rows(
            "update chat.leases set epoch = epoch + 1, expires_at = '-infinity' where owner_id ="
            " (select owner_id from chat.generations where generation_id = %s) returning 1",
            generation_id,
        )
        for suite in (there, here):
            events, status = await told(resumed(suite, ana, generation_id))
            assert words(events) == "one "
            assert status is not None
            assert status.what == ("ABORTED", "GENERATION_INTERRUPTED")
        assert len(await there.metered(ana)) == 1
        model.clear()
        # It lives on, under another lease.
        assert words(await events_of(here.chat.StreamChat(asked(), metadata=ana.metadata)))


async def test_a_record_that_can_not_be_ended_keeps_neither_the_start_nor_the_others(
    serve: Serve, model: Stage, ana: Person, migrated_url: str
) -> None:
    now, owner = datetime.now(UTC), new_id()
    poisoned, sound = new_id(), new_id()
    async with await psycopg.AsyncConnection.connect(migrated_url, autocommit=True) as connection:
        await connection.execute("insert into chat.leases values (%s, 1, '-infinity')", (owner,))
        # No text column takes U+0000, which a record, being bytes, could hold.
        for generation_id, text in ((poisoned, "a\0b"), (sound, "one ")):
            await connection.execute(
                "insert into chat.generations (generation_id, message_id, user_id, api_key_id, input_tokens_estimate,"
                " caller, operation, project, model, provider, state, last_seq, owner_id, epoch, created_at)"
                " values (%s, %s, %s, '', 1, %s, 'StreamChat', '', 'echo', 'echo', 'running', 1, %s, 1, now())",
                (generation_id, new_id(), ana.user_id, ana.user_id, owner),
            )
            started = Event(1, 1, now, Started(generation_id, "", new_id(), "echo"))
            payload = events_to_bytes([started, Event(2, 2, now, TextDelta(text))])
            await connection.execute(
                "insert into chat.generation_events values (%s, 1, 2, %s)", (generation_id, payload)
            )
    async with serve() as suite:
        events, status = await told(resumed(suite, ana, sound))
        assert words(events) == "one "
        assert status is not None
        assert status.reason == "GENERATION_INTERRUPTED"
        assert words(await events_of(suite.chat.StreamChat(asked(), metadata=ana.metadata)))
