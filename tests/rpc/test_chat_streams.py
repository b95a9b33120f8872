"""An answer as a stream of events: their order, where it can be gone on with, and what repeating a call does."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from antiphon.chat.v1 import chat_pb2
from antiphon.usage.v1 import usage_pb2

from tests.fakes.chat_stage import Cue, Stage
from tests.fakes.chat_upstream import Exchange, event, stop, text, used
from tests.fakes.served_suite import (
    Person,
    Served,
    assert_dense,
    events_of,
    failure,
    kinds,
    next_event,
    words,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


def asked(message: str = "¿Cómo estás?", **more: Any) -> chat_pb2.StreamChatRequest:
    return chat_pb2.StreamChatRequest(message=message, **more)


async def generation(suite: Served, person: Person, generation_id: str) -> chat_pb2.Generation:
    request = chat_pb2.GetGenerationRequest(generation_id=generation_id)
    return (await suite.chat.GetGeneration(request, metadata=person.metadata)).generation


def resumed(suite: Served, person: Person, generation_id: str, after_seq: int = 0) -> Any:
    request = chat_pb2.ResumeStreamRequest(generation_id=generation_id, after_seq=after_seq)
    return suite.chat.ResumeStream(request, metadata=person.metadata)


async def test_each_word_arrives_before_the_next_one_is_made(
    suite: Served, model: Stage, ana: Person
) -> None:
    cue = Cue("Muy", " bien", " gracias")
    model.play(cue.play)
    call = suite.chat.StreamChat(asked(), metadata=ana.metadata)
    events = [await next_event(call)]
    assert events[0].HasField("started")
    for word in ("Muy", " bien", " gracias"):
        cue.next()
        events.append(await next_event(call))
        assert events[-1].text_delta.text == word
    events += await events_of(call)
    assert kinds(events) == ["started", "text_delta", "text_delta", "text_delta", "finished"]
    assert [(event.first_seq, event.seq) for event in events] == [(n, n) for n in range(1, 6)]
    assert [event.event_time.ToNanoseconds() for event in events] == sorted(
        event.event_time.ToNanoseconds() for event in events
    )
    started, finished = events[0].started, events[-1].finished
    assert started.model == "scripted"
    assert started.session_id
    assert not started.resume_token
    assert finished.reason == chat_pb2.FINISH_REASON_STOP
    assert finished.message_id == started.message_id
    assert {quantity.unit: quantity.amount for quantity in finished.usage.quantities} == {
        usage_pb2.UNIT_INPUT_TOKENS: 7,
        usage_pb2.UNIT_OUTPUT_TOKENS: 3,
    }
    assert finished.usage.provenance == usage_pb2.PROVENANCE_REPORTED


async def test_what_arrives_at_once_travels_merged_and_covers_its_positions(
    suite: Served, model: Stage, ana: Person
) -> None:
    pieces = [f"{number} " for number in range(50)]

    async def burst(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(b"".join(event(chunk) for chunk in (*map(text, pieces), stop(), used(1, 50))))
        await exchange.end()

    model.play(burst)
    events = await events_of(suite.chat.StreamChat(asked(), metadata=ana.metadata))
    assert_dense(events)
    assert words(events) == "".join(pieces)
    assert len(events) < 10
    assert events[-1].seq == 52
    # What a caller holds is what the record says, however it was cut.
    again = await events_of(resumed(suite, ana, events[0].started.generation_id))
    assert_dense(again)
    assert words(again) == words(events)


async def test_every_kind_of_delta_is_told_apart(suite: Served, model: Stage, ana: Person) -> None:
    def delta(**fields: object) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": fields}]}

    def call(arguments: str, **first: object) -> dict[str, Any]:
        return delta(tool_calls=[{"index": 0, **first, "function": {"name": None, "arguments": arguments}}])

    async def script(exchange: Exchange) -> None:
        named = {"index": 0, "id": "call_1", "function": {"name": "weather", "arguments": ""}}
        await exchange.says(
            delta(reasoning_content="Where?"),
            delta(content="Looking."),
            delta(tool_calls=[named]),
            call('{"city":'),
            call('"Lima"}'),
            stop("tool_calls"),
        )

    model.play(script)
    tool = chat_pb2.Tool(name="weather", parameters_json_schema='{"type":"object","maximum":1e400}')
    events = await events_of(suite.chat.StreamChat(asked(tools=[tool]), metadata=ana.metadata))
    assert_dense(events)
    assert [
        kind for kind, last in zip(kinds(events), [*kinds(events)[1:], ""], strict=True) if kind != last
    ] == [
        "started",
        "reasoning_delta",
        "text_delta",
        "tool_call_delta",
        "finished",
    ]
    assert events[-1].finished.reason == chat_pb2.FINISH_REASON_TOOL_CALLS
    found = await generation(suite, ana, events[0].started.generation_id)
    assert (found.reasoning, found.text) == ("Where?", "Looking.")
    assert [(one.tool_call_id, one.name, one.arguments_json) for one in found.tool_calls] == [
        ("call_1", "weather", '{"city":"Lima"}')
    ]
    # A schema reaches the model as it was written.
    assert b'{"type":"object","maximum":1e400}' in model.exchanges[0].body


async def test_an_answer_can_be_resumed_from_every_event_while_it_is_made_and_afterwards(
    suite: Served, model: Stage, ana: Person
) -> None:
    cue = Cue("one ", "two ", "three ")
    model.play(cue.play)
    call = suite.chat.StreamChat(asked(), metadata=ana.metadata)
    events = [await next_event(call)]
    generation_id = events[0].started.generation_id
    cue.next()
    events.append(await next_event(call))
    watchers = [
        asyncio.create_task(events_of(resumed(suite, ana, generation_id, after))) for after in (0, 1, 2)
    ]
    cue.next(2)
    events += await events_of(call)
    for after, watcher in enumerate(watchers):
        found = await watcher
        assert_dense(found, after)
        assert words(found) == words(events[after:])
        assert found[-1] == events[-1]
    for position, last in enumerate(events):
        found = await events_of(resumed(suite, ana, generation_id, last.seq))
        assert_dense(found, last.seq)
        assert words(found) == words(events[position + 1 :])
    assert await events_of(resumed(suite, ana, generation_id, events[-1].seq)) == []


async def test_a_position_that_no_event_ended_at_is_out_of_range(
    suite: Served, model: Stage, ana: Person
) -> None:
    async def burst(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(b"".join(event(text(word)) for word in "abcdef"))
        await exchange.chunk(event(stop()))
        await hold.wait()
        await exchange.end()

    hold = asyncio.Event()
    model.play(burst)
    call = suite.chat.StreamChat(asked(), metadata=ana.metadata)
    events = [await next_event(call), await next_event(call)]
    generation_id, last = events[0].started.generation_id, events[-1].seq
    assert last == 7

    async def refused(after_seq: int, last_seq: int) -> None:
        found = await failure(resumed(suite, ana, generation_id, after_seq))
        assert found.what == ("OUT_OF_RANGE", "SEQ_OUT_OF_RANGE")
        assert found.metadata == {"generation_id": generation_id, "last_seq": str(last_seq)}

    for after_seq in (3, last + 1, 2**62):
        await refused(after_seq, last)
    hold.set()
    await events_of(call)
    for after_seq in (3, last + 2, 2**62):
        await refused(after_seq, last + 1)


async def test_the_same_request_id_attaches_to_what_is_being_made_and_replays_it_afterwards(
    suite: Served, model: Stage, ana: Person
) -> None:
    cue = Cue("one ", "two ", "three ")
    model.play(cue.play)
    request = asked(request_id=str(uuid.uuid4()))
    first = suite.chat.StreamChat(request, metadata=ana.metadata)
    events = [await next_event(first)]
    cue.next()
    events.append(await next_event(first))
    second = asyncio.create_task(events_of(suite.chat.StreamChat(request, metadata=ana.metadata)))
    cue.next(2)
    events += await events_of(first)
    attached = await second
    replayed = await events_of(suite.chat.StreamChat(request, metadata=ana.metadata))
    for found in (attached, replayed):
        assert_dense(found)
        assert found[0] == events[0]
        assert words(found) == words(events) == "one two three "
        assert found[-1] == events[-1]
    assert len(model.exchanges) == 1
    assert len(await suite.metered(ana)) == 1


async def test_twenty_calls_with_one_request_id_make_one_answer(
    suite: Served, model: Stage, ana: Person
) -> None:
    request = asked(request_id=str(uuid.uuid4()))
    answers = await asyncio.gather(
        *(events_of(suite.chat.StreamChat(request, metadata=ana.metadata)) for _ in range(20))
    )
    assert len({events[0].started.generation_id for events in answers}) == 1
    assert {words(events) for events in answers} == {"Bien, gracias."}
    assert len(model.exchanges) == 1
    sessions = await suite.chat.ListSessions(chat_pb2.ListSessionsRequest(), metadata=ana.metadata)
    assert sessions.total_size == 1


async def test_chat_repeats_stream_chat_and_the_other_way_round(
    suite: Served, model: Stage, ana: Person
) -> None:
    fields: dict[str, Any] = {
        "request_id": str(uuid.uuid4()).upper(),
        "message": "¿Qué tal?",
        "parameters": chat_pb2.Parameters(temperature=0.5, stop=["."]),
    }
    events = await events_of(
        suite.chat.StreamChat(chat_pb2.StreamChatRequest(**fields), metadata=ana.metadata)
    )
    repeated = (await suite.chat.Chat(chat_pb2.ChatRequest(**fields), metadata=ana.metadata)).generation
    assert repeated.generation_id == events[0].started.generation_id
    assert repeated.text == words(events)
    fields["request_id"] = str(uuid.uuid4())
    made = (await suite.chat.Chat(chat_pb2.ChatRequest(**fields), metadata=ana.metadata)).generation
    streamed = await events_of(
        suite.chat.StreamChat(chat_pb2.StreamChatRequest(**fields), metadata=ana.metadata)
    )
    assert streamed[0].started.generation_id == made.generation_id != repeated.generation_id
    assert len(model.exchanges) == 2


@pytest.mark.parametrize("change", [{"message": "Something else"}, {"model": "echo"}, {"project": "p"}])
async def test_a_request_id_with_another_body_is_refused(
    suite: Served, model: Stage, ana: Person, ben: Person, change: dict[str, str]
) -> None:
    request_id = str(uuid.uuid4())
    await events_of(suite.chat.StreamChat(asked(request_id=request_id), metadata=ana.metadata))
    other = asked(request_id=request_id)
    other.MergeFrom(chat_pb2.StreamChatRequest(**change))  # type: ignore[arg-type]
    found = await failure(suite.chat.StreamChat(other, metadata=ana.metadata))
    assert found.what == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    assert found.metadata == {"request_id": request_id}
    # It is the caller's id: somebody else's is another one.
    assert await events_of(suite.chat.StreamChat(other, metadata=ben.metadata))


async def test_a_whole_answer_is_told_at_once(suite: Served, model: Stage, ana: Person) -> None:
    request = chat_pb2.ChatRequest(message="Hello there", model="echo", project="tests")
    response = await suite.chat.Chat(request, metadata=ana.metadata)
    made = response.generation
    assert made.text.endswith("Hello there")
    assert (made.model, made.provider, made.project) == ("echo", "echo", "tests")
    assert made.state == chat_pb2.GENERATION_STATE_COMPLETED
    assert made.finish_reason == chat_pb2.FINISH_REASON_STOP
    assert made.end_time.ToNanoseconds() >= made.create_time.ToNanoseconds() > 0
    assert not response.resume_token
    assert await generation(suite, ana, made.generation_id) == made


async def test_a_generation_tells_how_far_it_has_come(suite: Served, model: Stage, ana: Person) -> None:
    cue = Cue("one ", "two")
    model.play(cue.play)
    call = suite.chat.StreamChat(asked(), metadata=ana.metadata)
    generation_id = (await next_event(call)).started.generation_id
    cue.next()
    await next_event(call)
    found = await generation(suite, ana, generation_id.upper())
    assert (found.state, found.text, found.last_seq) == (chat_pb2.GENERATION_STATE_RUNNING, "one ", 2)
    assert not found.HasField("end_time")
    assert not found.HasField("usage")
    cue.next()
    await events_of(call)
    found = await generation(suite, ana, generation_id)
    assert (found.state, found.text, found.last_seq) == (chat_pb2.GENERATION_STATE_COMPLETED, "one two", 4)


async def test_the_parameters_reach_the_model(suite: Served, model: Stage, ana: Person) -> None:
    schema = '{"type": "object", "properties": {"mood": {"type": "string"}}}'
    parameters = chat_pb2.Parameters(
        temperature=0.25, top_p=0.5, max_output_tokens=17, stop=["END"], seed=-5, json_schema=schema
    )
    await events_of(suite.chat.StreamChat(asked(parameters=parameters), metadata=ana.metadata))
    body = model.exchanges[0].json
    assert (body["model"], body["stream"]) == ("scripted-1", True)
    wanted = {"temperature": 0.25, "top_p": 0.5, "max_tokens": 17, "stop": ["END"], "seed": -5}
    assert {name: body[name] for name in wanted} == wanted
    assert body["response_format"]["json_schema"]["schema"]["properties"] == {"mood": {"type": "string"}}


async def test_a_limit_ends_the_answer_and_says_so(suite: Served, ana: Person) -> None:
    request = asked("a b c", model="echo", parameters=chat_pb2.Parameters(max_output_tokens=3))
    events = await events_of(suite.chat.StreamChat(request, metadata=ana.metadata))
    assert events[-1].finished.reason == chat_pb2.FINISH_REASON_LENGTH
    assert len(words(events).split()) == 3


async def test_a_watcher_that_stops_reading_disturbs_nobody(suite: Served, model: Stage, ana: Person) -> None:
    cue = Cue(*("x" * 1000 for _ in range(100)))
    model.play(cue.play)
    lazy = suite.chat.StreamChat(asked(), metadata=ana.metadata)
    started = (await next_event(lazy)).started
    keen = resumed(suite, ana, started.generation_id)
    cue.next(100)
    assert len(words(await events_of(keen))) == 100_000
    assert len(words(await events_of(lazy))) == 100_000
