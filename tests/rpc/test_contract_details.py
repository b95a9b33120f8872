"""The small print of the contract: ids, times, metadata, and that all of it is served."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import grpc
import pytest
from antiphon.chat.v1 import chat_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from tests.fakes.chat_stage import Cue, Stage
from tests.fakes.served_suite import (
    Person,
    Served,
    assert_dense,
    events_of,
    failure,
    finished,
    kinds,
    next_event,
    words,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


def asked(**more: Any) -> chat_pb2.StreamChatRequest:
    return chat_pb2.StreamChatRequest(**{"message": "Hola", **more})


def is_version_7(*ids: str) -> bool:
    return all(uuid.UUID(one).version == 7 and one == one.lower() for one in ids)


async def request_id_of(call: Any) -> str:
    (found,) = [value for key, value in await call.trailing_metadata() if key == "x-request-id"]
    return str(found)


async def test_ids_are_in_the_order_of_their_making(suite: Served, model: Stage, ana: Person) -> None:
    first = await events_of(suite.chat.StreamChat(asked(), metadata=ana.metadata))
    second = await events_of(suite.chat.StreamChat(asked(), metadata=ana.metadata))
    ids = [
        (one.session_id, one.message_id, one.generation_id) for one in (first[0].started, second[0].started)
    ]
    assert is_version_7(*ids[0], *ids[1])
    assert ids[0] < ids[1]
    assert len({*ids[0], *ids[1]}) == 6
    metered = await suite.metered(ana)
    assert is_version_7(*(event.event_id for event in metered))


async def test_times_are_those_of_what_they_tell(suite: Served, model: Stage, ana: Person) -> None:
    def seconds(stamp: Timestamp) -> float:
        return stamp.ToNanoseconds() / 1e9

    before = time.time() - 0.001
    events = await events_of(suite.chat.StreamChat(asked(), metadata=ana.metadata))
    after = time.time() + 0.001
    request = chat_pb2.GetGenerationRequest(generation_id=events[0].started.generation_id)
    made = (await suite.chat.GetGeneration(request, metadata=ana.metadata)).generation
    listed = await suite.chat.ListMessages(
        chat_pb2.ListMessagesRequest(session_id=made.session_id), metadata=ana.metadata
    )
    answer, question = listed.messages
    order = [
        before,
        seconds(made.create_time),
        *(seconds(event.event_time) for event in events[1:-1]),
        seconds(made.end_time),
        after,
    ]
    assert order == sorted(order)
    assert seconds(question.create_time) == seconds(made.create_time) == seconds(events[0].event_time)
    assert seconds(answer.create_time) == seconds(made.end_time)


async def test_an_id_may_be_written_in_capitals_and_is_answered_in_small_letters(
    suite: Served, model: Stage, ana: Person
) -> None:
    request_id = str(uuid.uuid4())
    events = await events_of(
        suite.chat.StreamChat(asked(request_id=request_id.upper()), metadata=ana.metadata)
    )
    again = await events_of(suite.chat.StreamChat(asked(request_id=request_id), metadata=ana.metadata))
    assert again[0] == events[0]
    generation_id = events[0].started.generation_id
    request = chat_pb2.GetGenerationRequest(generation_id=generation_id.upper())
    made = (await suite.chat.GetGeneration(request, metadata=ana.metadata)).generation
    assert (made.generation_id, made.request_id) == (generation_id, request_id)
    resumed = chat_pb2.ResumeStreamRequest(generation_id=generation_id.upper(), after_seq=1)
    assert words(await events_of(suite.chat.ResumeStream(resumed, metadata=ana.metadata))) == words(events)


async def test_every_answer_names_its_call(suite: Served, model: Stage, ana: Person) -> None:
    for call in (
        suite.chat.ListModels(chat_pb2.ListModelsRequest(), metadata=(("x-request-id", "mine-1"),)),
        suite.chat.StreamChat(asked(), metadata=(*ana.metadata, ("x-request-id", "mine-1"))),
    ):
        if isinstance(call, grpc.aio.UnaryStreamCall):
            await events_of(call)
        assert await request_id_of(call) == "mine-1"
    refused = suite.chat.GetSession(chat_pb2.GetSessionRequest(), metadata=(("x-request-id", "mine-2"),))
    assert (await failure(refused)).request_id == "mine-2"
    calls = [suite.chat.ListModels(chat_pb2.ListModelsRequest()) for _ in range(20)]
    made = await asyncio.gather(*(request_id_of(call) for call in calls))
    assert len(set(made)) == 20


@pytest.mark.parametrize("given", ["x" * 129, "", " ", "a  ", "a" * 4000])
async def test_an_unfit_request_id_is_replaced(suite: Served, given: str) -> None:
    call = suite.chat.ListModels(chat_pb2.ListModelsRequest(), metadata=(("x-request-id", given),))
    found = await request_id_of(call)
    assert found != given
    assert 8 <= len(found) <= 128


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("¿Cómo estás?", "¿Cómo estás?"),
        ("  several\n\nlines  of\ttext ", "several lines of text"),
        ("word " * 40, "word " * 11 + "word…"),
        ("x" * 100, "x" * 60 + "…"),
        ("👩‍👩‍👧", "👩‍👩‍👧"),
    ],
)
async def test_a_session_is_called_by_the_beginning_of_its_first_message(
    suite: Served, model: Stage, ana: Person, message: str, title: str
) -> None:
    await events_of(suite.chat.StreamChat(asked(message=message), metadata=ana.metadata))
    listed = await suite.chat.ListSessions(chat_pb2.ListSessionsRequest(), metadata=ana.metadata)
    assert [session.title for session in listed.sessions] == [title]


async def test_the_whole_contract_is_served(suite: Served, ana: Person) -> None:
    answers: dict[str, str] = {}
    for method in chat_pb2.DESCRIPTOR.services_by_name["ChatService"].methods:
        kind = suite.channel.unary_stream if method.server_streaming else suite.channel.unary_unary
        path = f"/{method.containing_service.full_name}/{method.name}"
        call: Any = kind(path, lambda _: b"", lambda data: data)
        try:
            await finished(call(b"", metadata=ana.metadata, timeout=10))
        except grpc.aio.AioRpcError as error:
            answers[method.name] = error.code().name
    # An empty request says too little for most, and what was used is for services.
    assert {answers.pop(name) for name in ("SummarizeUsage", "RedeliverUsage")} == {"PERMISSION_DENIED"}
    assert set(answers.values()) == {"INVALID_ARGUMENT"}


async def test_compressed_requests_are_read(suite: Served, ana: Person) -> None:
    request = asked(
        message="long " * 1000, model="echo", parameters=chat_pb2.Parameters(max_output_tokens=20)
    )
    for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        call = suite.chat.StreamChat(request, metadata=ana.metadata, compression=compression)
        assert kinds(await events_of(call))[-1] == "finished"


async def test_a_compressed_bomb_is_refused(suite: Served, ana: Person) -> None:
    request = asked(message="x" * 64 * 1024**2)
    call = suite.chat.StreamChat(request, metadata=ana.metadata, compression=grpc.Compression.Gzip)
    assert (await failure(call)).code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await suite.chat.ListModels(chat_pb2.ListModelsRequest())).models


async def test_forty_streams_at_once_are_forty_records(suite: Served, model: Stage, ana: Person) -> None:
    async def one(number: int) -> None:
        request = asked(message=f"number {number} " * 5, model="echo")
        events = await events_of(suite.chat.StreamChat(request, metadata=ana.metadata))
        assert_dense(events)
        assert words(events).endswith(f"number {number} " * 5)
        request_ = chat_pb2.ResumeStreamRequest(generation_id=events[0].started.generation_id)
        again = await events_of(suite.chat.ResumeStream(request_, metadata=ana.metadata))
        assert words(again) == words(events)

    await asyncio.gather(*(one(number) for number in range(40)))
    assert len(await suite.metered(ana)) == 40
    listed = await suite.chat.ListSessions(chat_pb2.ListSessionsRequest(), metadata=ana.metadata)
    assert listed.total_size == 40


async def test_what_is_delivered_is_on_record(suite: Served, model: Stage, ana: Person) -> None:
    cue = Cue(*(f"{number} " for number in range(8)))
    model.play(cue.play)
    call = suite.chat.StreamChat(asked(), metadata=ana.metadata)
    generation_id = (await next_event(call)).started.generation_id
    for _ in range(8):
        cue.next()
        event = await next_event(call)
        rows = await suite.rows(
            "select max(seq) from chat.generation_events where generation_id = %s", generation_id
        )
        assert rows[0][0] >= event.seq
    await events_of(call)
    rows = await suite.rows(
        "select g.state, g.last_seq, max(e.seq) from chat.generations g join chat.generation_events e"
        " using (generation_id) where generation_id = %s group by 1, 2",
        generation_id,
    )
    assert rows == [("completed", 10, 10)]
