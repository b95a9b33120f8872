"""How an answer ends before its end: somebody cancels it, or nobody is there any more."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import grpc
import pytest
from antiphon.chat.v1 import chat_pb2
from antiphon.usage.v1 import usage_pb2
from google.protobuf.duration_pb2 import Duration

from tests.fakes.chat_stage import Cue, Stage
from tests.fakes.served_suite import Person, Served, assert_dense, events_of, next_event, until, words

pytestmark = pytest.mark.asyncio(loop_scope="module")

STOP, CONTINUE = chat_pb2.ON_DISCONNECT_STOP, chat_pb2.ON_DISCONNECT_CONTINUE
RUNNING, COMPLETED, CANCELLED = (
    chat_pb2.GENERATION_STATE_RUNNING,
    chat_pb2.GENERATION_STATE_COMPLETED,
    chat_pb2.GENERATION_STATE_CANCELLED,
)


def asked(**more: Any) -> chat_pb2.StreamChatRequest:
    return chat_pb2.StreamChatRequest(**{"message": "Count for me", **more})


def seconds(number: float) -> Duration:
    duration = Duration()
    duration.FromTimedelta(timedelta(seconds=number))
    return duration


async def found(suite: Served, person: Person | None, started: chat_pb2.Started) -> chat_pb2.Generation:
    request = chat_pb2.GetGenerationRequest(
        generation_id=started.generation_id, resume_token=started.resume_token
    )
    response = await suite.chat.GetGeneration(request, metadata=person.metadata if person else None)
    return response.generation


async def ended(suite: Served, person: Person | None, started: chat_pb2.Started) -> chat_pb2.Generation:
    async def check() -> chat_pb2.Generation | None:
        made = await found(suite, person, started)
        return made if made.state != RUNNING else None

    made: chat_pb2.Generation = await until(check)
    return made


async def one_word(suite: Served, model: Stage, person: Person | None, **more: Any) -> tuple[Any, Cue, Any]:
    """A stream of which `started` and a first word were read: the call, the model, `started`."""
    cue = Cue("one ", "two ", "three")
    model.play(cue.play)
    call = suite.chat.StreamChat(asked(**more), metadata=person.metadata if person else None)
    started = (await next_event(call)).started
    cue.next()
    assert (await next_event(call)).text_delta.text == "one "
    return call, cue, started


async def closed_within_a_second(cue: Cue) -> None:
    async with asyncio.timeout(1):
        await cue.gone.wait()


async def test_cancelling_ends_the_stream_and_the_call_to_the_model(
    suite: Served, model: Stage, ana: Person
) -> None:
    call, cue, started = await one_word(suite, model, ana)
    request = chat_pb2.CancelGenerationRequest(generation_id=started.generation_id)
    response = await suite.chat.CancelGeneration(request, metadata=ana.metadata)
    await closed_within_a_second(cue)
    rest = await events_of(call)
    assert_dense(rest, 2)
    assert [event.finished.reason for event in rest] == [chat_pb2.FINISH_REASON_CANCELLED]
    made = await found(suite, ana, started)
    assert made == response.generation
    assert (made.state, made.finish_reason, made.text) == (
        CANCELLED,
        chat_pb2.FINISH_REASON_CANCELLED,
        "one ",
    )
    # What was made so far is kept, and a later cancellation changes nothing.
    again = await suite.chat.CancelGeneration(request, metadata=ana.metadata)
    assert again.generation == made
    listed = await suite.chat.ListMessages(
        chat_pb2.ListMessagesRequest(session_id=started.session_id), metadata=ana.metadata
    )
    assert [message.parts[0].text for message in listed.messages] == ["one ", "Count for me"]
    resumed = suite.chat.ResumeStream(
        chat_pb2.ResumeStreamRequest(generation_id=started.generation_id, after_seq=2), metadata=ana.metadata
    )
    assert await events_of(resumed) == rest
    metered = await suite.metered(ana)
    assert [(event.status, event.provenance) for event in metered] == [
        (usage_pb2.USAGE_STATUS_CANCELLED, usage_pb2.PROVENANCE_ESTIMATED)
    ]


async def test_cancelling_before_the_first_word(suite: Served, model: Stage, ana: Person) -> None:
    cue = Cue("never")
    model.play(cue.play)
    call = suite.chat.StreamChat(asked(), metadata=ana.metadata)
    started = (await next_event(call)).started
    request = chat_pb2.CancelGenerationRequest(generation_id=started.generation_id)
    made = (await suite.chat.CancelGeneration(request, metadata=ana.metadata)).generation
    assert (made.state, made.text) == (CANCELLED, "")
    assert [event.finished.reason for event in await events_of(call)] == [chat_pb2.FINISH_REASON_CANCELLED]


async def test_cancelling_what_has_ended_leaves_it(suite: Served, model: Stage, ana: Person) -> None:
    events = await events_of(suite.chat.StreamChat(asked(), metadata=ana.metadata))
    request = chat_pb2.CancelGenerationRequest(generation_id=events[0].started.generation_id)
    made = (await suite.chat.CancelGeneration(request, metadata=ana.metadata)).generation
    assert (made.state, made.text) == (COMPLETED, "Bien, gracias.")


async def test_ten_cancellations_at_once_agree(suite: Served, model: Stage, ana: Person) -> None:
    call, _, started = await one_word(suite, model, ana)
    request = chat_pb2.CancelGenerationRequest(generation_id=started.generation_id)
    answers = await asyncio.gather(
        *(suite.chat.CancelGeneration(request, metadata=ana.metadata) for _ in range(10))
    )
    assert {answer.generation.state for answer in answers} == {CANCELLED}
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    await events_of(call)
    assert len(await suite.metered(ana)) == 1


async def test_stop_closes_the_call_to_the_model_when_the_caller_goes_away(
    suite: Served, model: Stage, ana: Person
) -> None:
    call, cue, started = await one_word(suite, model, ana, on_disconnect=STOP)
    call.cancel()
    await closed_within_a_second(cue)
    made = await ended(suite, ana, started)
    assert (made.state, made.text) == (CANCELLED, "one ")


async def test_stop_waits_for_the_last_watcher(suite: Served, model: Stage, ana: Person) -> None:
    call, cue, started = await one_word(suite, model, ana, on_disconnect=STOP)
    other = suite.chat.ResumeStream(
        chat_pb2.ResumeStreamRequest(generation_id=started.generation_id), metadata=ana.metadata
    )
    assert (await next_event(other)).started == started
    call.cancel()
    cue.next(2)
    assert words(await events_of(other)) == "one two three"
    assert (await found(suite, ana, started)).state == COMPLETED


async def test_within_the_grace_a_caller_may_come_back(suite: Served, model: Stage, ana: Person) -> None:
    call, cue, started = await one_word(suite, model, ana, on_disconnect=STOP, disconnect_grace=seconds(30))
    call.cancel()
    back = suite.chat.ResumeStream(
        chat_pb2.ResumeStreamRequest(generation_id=started.generation_id, after_seq=2), metadata=ana.metadata
    )
    cue.next(2)
    assert words(await events_of(back)) == "two three"


async def test_behind_the_grace_it_stops(suite: Served, model: Stage, ana: Person) -> None:
    call, cue, started = await one_word(suite, model, ana, on_disconnect=STOP, disconnect_grace=seconds(0.3))
    gone = time.monotonic()
    call.cancel()
    await cue.gone.wait()
    assert 0.25 <= time.monotonic() - gone < 1.3
    assert (await ended(suite, ana, started)).state == CANCELLED


async def test_continue_is_what_callers_with_a_credential_get(
    suite: Served, model: Stage, ana: Person
) -> None:
    for more in ({}, {"on_disconnect": CONTINUE}):
        call, cue, started = await one_word(suite, model, ana, **more)
        call.cancel()
        cue.next(2)
        made = await ended(suite, ana, started)
        assert (made.state, made.text) == (COMPLETED, "one two three")
        listed = await suite.chat.ListMessages(
            chat_pb2.ListMessagesRequest(session_id=started.session_id), metadata=ana.metadata
        )
        assert listed.messages[0].parts[0].text == "one two three"
        assert listed.messages[0].message_id == started.message_id


async def test_anonymous_callers_have_a_while_to_come_back(suite: Served, model: Stage) -> None:
    call, cue, started = await one_word(suite, model, None)
    call.cancel()
    back = suite.chat.ResumeStream(
        chat_pb2.ResumeStreamRequest(
            generation_id=started.generation_id, after_seq=1, resume_token=started.resume_token
        )
    )
    cue.next(2)
    assert words(await events_of(back)) == "one two three"
    call, cue, started = await one_word(suite, model, None, disconnect_grace=seconds(0))
    call.cancel()
    await closed_within_a_second(cue)
    assert (await ended(suite, None, started)).state == CANCELLED


async def test_a_deadline_is_a_disconnect(suite: Served, model: Stage, ana: Person) -> None:
    cue = Cue("never")
    model.play(cue.play)
    call = suite.chat.StreamChat(asked(on_disconnect=STOP), metadata=ana.metadata, timeout=0.8)
    started = (await next_event(call)).started
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await events_of(call)
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await closed_within_a_second(cue)
    assert (await ended(suite, ana, started)).state != COMPLETED


async def test_a_deadline_does_not_end_what_is_to_go_on(suite: Served, model: Stage, ana: Person) -> None:
    cue = Cue("late")
    model.play(cue.play)
    request = chat_pb2.ChatRequest(message="Count for me", on_disconnect=CONTINUE)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await suite.chat.Chat(request, metadata=ana.metadata, timeout=0.3)
    assert failed.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    cue.next()

    async def answered() -> list[str]:
        rows = await suite.rows(
            "select m.texts[1] from chat.messages m join chat.generations g using (message_id)"
            " where g.user_id = %s and g.state = 'completed'",
            ana.user_id,
        )
        return [text for (text,) in rows]

    assert await until(answered) == ["late"]


async def test_whoever_leaves_at_once_leaves_nothing_running(
    suite: Served, model: Stage, ana: Person
) -> None:
    cue = Cue("never")
    model.play(cue.play)
    calls = [suite.chat.StreamChat(asked(on_disconnect=STOP), metadata=ana.metadata) for _ in range(20)]
    for number, call in enumerate(calls):
        await asyncio.sleep(0.0005 * number)
        call.cancel()

    async def none_runs() -> bool:
        rows = await suite.rows(
            "select count(*) from chat.generations where user_id = %s and state = 'running'", ana.user_id
        )
        return rows == [(0,)] and not suite.suite.server.calls_in_progress

    await until(none_runs)
