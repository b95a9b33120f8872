"""A stream of the client is the record: every event once and in order, over as many connections as it takes."""

import asyncio
import threading
from collections.abc import Iterator

import grpc
import pytest
from antiphon.chat.v1 import chat_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon_client import AsyncClient, Client, Retries
from antiphon_client._record import RecordReader
from antiphon_client.errors import (
    Aborted,
    BrokenRecord,
    DeadlineExceeded,
    OutOfRange,
    Unavailable,
    Unreachable,
)
from tests.scripted_server import (
    BROKEN,
    GENERATION_ID,
    ScriptedServer,
    Step,
    answer,
    failing,
    until_the_caller_leaves,
)

QUICK = Retries(first_delay=0.001, max_delay=0.05)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as scripted:
        yield scripted


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Client]:
    with Client(server.address, retries=QUICK) as made:
        yield made


def text_of(events: list[chat_pb2.ChatEvent]) -> str:
    return "".join(event.text_delta.text for event in events)


def covers_everything(events: list[chat_pb2.ChatEvent], last_seq: int) -> bool:
    positions = [position for event in events for position in range(event.first_seq, event.seq + 1)]
    return positions == list(range(1, last_seq + 1))


def merged(first: chat_pb2.ChatEvent, last: chat_pb2.ChatEvent, text: str) -> chat_pb2.ChatEvent:
    return chat_pb2.ChatEvent(
        first_seq=first.first_seq, seq=last.seq, text_delta=chat_pb2.TextDelta(text=text)
    )


def test_an_answer_streams(client: Client, server: ScriptedServer) -> None:
    with client.stream("Hi", model="echo", disconnect_grace=1.5) as stream:
        events = list(stream)
    assert text_of(events) == "Hello, world"
    assert stream.finished is not None
    assert (stream.generation_id, stream.seq) == (GENERATION_ID, 5)
    request = server.of("StreamChat")[0].request
    assert isinstance(request, chat_pb2.StreamChatRequest)
    assert (request.message, request.model, request.disconnect_grace.ToMilliseconds()) == ("Hi", "echo", 1500)
    assert len(server.calls) == 1


def test_a_broken_connection_is_resumed_where_it_broke(client: Client, server: ScriptedServer) -> None:
    server.record = answer(["a", "b", "c", "d"], resume_token="secret")
    server.streams.append([*server.record[:3], BROKEN])
    events = list(client.stream("Hi"))
    assert text_of(events) == "abcd"
    assert covers_everything(events, 6)
    request = server.of("ResumeStream")[0].request
    assert isinstance(request, chat_pb2.ResumeStreamRequest)
    assert (request.generation_id, request.after_seq, request.resume_token) == (GENERATION_ID, 3, "secret")


def test_a_stream_that_breaks_before_its_first_event_is_asked_for_again_under_the_same_id(
    client: Client, server: ScriptedServer
) -> None:
    server.streams.append([BROKEN])
    assert text_of(list(client.stream("Hi"))) == "Hello, world"
    first, second = (seen.request for seen in server.of("StreamChat"))
    assert isinstance(first, chat_pb2.StreamChatRequest)
    assert first.request_id
    assert first == second


def test_a_stream_that_ends_without_its_last_event_is_resumed(client: Client, server: ScriptedServer) -> None:
    server.streams.append(server.record[:2])
    assert text_of(list(client.stream("Hi"))) == "Hello, world"
    assert len(server.of("ResumeStream")) == 1


def test_events_that_come_again_are_left_out(client: Client, server: ScriptedServer) -> None:
    server.streams.append([*server.record[:3], BROKEN])
    server.streams.append(server.record)
    events = list(client.stream("Hi"))
    assert text_of(events) == "Hello, world"
    assert covers_everything(events, 5)


def test_a_gap_is_asked_for_again(client: Client, server: ScriptedServer) -> None:
    server.streams.append([server.record[0], server.record[2]])
    events = list(client.stream("Hi"))
    assert covers_everything(events, 5)


def test_a_record_that_stays_broken_is_an_error(server: ScriptedServer) -> None:
    server.streams.extend([server.record[0], server.record[2]] for _ in range(3))
    with Client(server.address, retries=Retries(resume_attempts=3, first_delay=0)) as client:
        stream = client.stream("Hi")
        assert next(stream).HasField("started")
        with pytest.raises(BrokenRecord):
            next(stream)
        assert list(stream) == []


def test_a_stream_that_shows_nothing_is_tried_as_often_as_a_call(server: ScriptedServer) -> None:
    away = failing(grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", "Auth can't be reached")
    server.fail("StreamChat", *[away] * 9)
    retries = Retries(attempts=3, first_delay=0)
    with Client(server.address, retries=retries) as client, pytest.raises(Unavailable):
        next(client.stream("Hi"))
    assert len(server.calls) == 3


def test_tries_are_bounded_and_begin_anew_with_every_event(server: ScriptedServer) -> None:
    server.streams.extend(
        [[*server.record[:1], BROKEN], [BROKEN], [server.record[1], BROKEN], [BROKEN], [BROKEN]]
    )
    with Client(server.address, retries=Retries(resume_attempts=3, first_delay=0)) as client:
        stream = client.stream("Hi")
        assert [next(stream).seq, next(stream).seq] == [1, 2]
        with pytest.raises(Unreachable):
            next(stream)
    assert len(server.calls) == 5


@pytest.mark.parametrize(
    "reason", ["PROVIDER_UNAVAILABLE", "PROVIDER_PROTOCOL"], ids=["provider away", "provider talks nonsense"]
)
def test_an_answer_that_has_begun_and_fails_is_not_begun_anew(
    client: Client, server: ScriptedServer, reason: str
) -> None:
    failure = failing(grpc.StatusCode.UNAVAILABLE, reason, "the provider failed", retry_after=0.01, model="x")
    server.streams.append([*server.record[:2], failure])
    stream = client.stream("Hi")
    assert [event.seq for event in (next(stream), next(stream))] == [1, 2]
    with pytest.raises(Unavailable) as caught:
        next(stream)
    assert caught.value.reason == reason
    assert caught.value.metadata == {"model": "x"}
    assert len(server.calls) == 1


def test_a_provider_that_fails_before_the_answer_begins_is_tried_again(
    client: Client, server: ScriptedServer
) -> None:
    failure = failing(grpc.StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE", retry_after=0.01)
    server.streams.append([failure])
    server.fail("Chat", failure)
    assert text_of(list(client.stream("Hi"))) == "Hello, world"
    assert client.chat("Hi").generation.text == "Hello, world"


def test_an_interrupted_generation_says_so_after_what_was_kept(
    client: Client, server: ScriptedServer
) -> None:
    server.streams.append([*server.record[:2], BROKEN])
    server.streams.append([server.record[2], failing(grpc.StatusCode.ABORTED, "GENERATION_INTERRUPTED")])
    stream = client.stream("Hi")
    seen: list[chat_pb2.ChatEvent] = []
    with pytest.raises(Aborted) as caught:
        seen.extend(iter(lambda: next(stream), None))
    assert caught.value.reason == "GENERATION_INTERRUPTED"
    assert stream.seq == 3


def test_a_server_that_stops_is_waited_for(server: ScriptedServer) -> None:
    stopping = failing(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", retry_after=0.01)
    server.fail("StreamChat", stopping, stopping)
    with Client(server.address, retries=Retries(first_delay=0.001)) as client:
        assert text_of(list(client.stream("Hi"))) == "Hello, world"


def test_the_server_may_be_restarted_beneath_a_stream(server: ScriptedServer) -> None:
    hold = threading.Event()
    server.streams.append([*server.record[:2], lambda _: hold.wait(10)])
    with Client(
        server.address, retries=Retries(first_delay=0.05, max_delay=0.2, resume_attempts=50)
    ) as client:
        stream = client.stream("Hi")
        events = [next(stream), next(stream)]
        server.stop()
        hold.set()
        threading.Timer(0.3, server.start).start()
        events += stream
    assert covers_everything(events, 5)


def test_resume_goes_on_after_a_position(client: Client, server: ScriptedServer) -> None:
    assert [event.seq for event in client.resume(GENERATION_ID, after_seq=3)] == [4, 5]
    assert list(client.resume(GENERATION_ID, after_seq=5)) == []
    server.fail("ResumeStream", failing(grpc.StatusCode.OUT_OF_RANGE, "SEQ_OUT_OF_RANGE", last_seq="5"))
    with pytest.raises(OutOfRange) as caught:
        next(client.resume(GENERATION_ID, after_seq=9))
    assert caught.value.metadata["last_seq"] == "5"


def test_a_stream_keeps_its_deadline(server: ScriptedServer) -> None:
    release = threading.Event()
    server.streams.append([server.record[0], lambda _: release.wait(10)])
    with Client(server.address, retries=QUICK) as client:
        stream = client.stream("Hi", timeout=0.2)
        next(stream)
        with pytest.raises(DeadlineExceeded):
            next(stream)
    release.set()


def test_closing_early_ends_the_call_on_the_server(client: Client, server: ScriptedServer) -> None:
    server.streams.append([*server.record[:2], until_the_caller_leaves])
    with client.stream("Hi") as stream:
        next(stream)
        next(stream)
    assert server.calls[0].ended.wait(5)
    assert list(stream) == []


def test_closing_from_another_thread_ends_the_iteration(client: Client, server: ScriptedServer) -> None:
    release = threading.Event()
    server.streams.append([server.record[0], lambda _: release.wait(10)])
    stream = client.stream("Hi")
    next(stream)
    threading.Timer(0.05, stream.close).start()
    assert list(stream) == []
    assert server.of("ResumeStream") == []
    release.set()


async def test_the_asynchronous_stream_resumes_too(server: ScriptedServer) -> None:
    server.streams.append([*server.record[:3], BROKEN])
    async with AsyncClient(server.address, retries=QUICK) as client:
        events = [event async for event in client.stream("Hi")]
    assert covers_everything(events, 5)
    assert text_of(events) == "Hello, world"


async def test_a_cancelled_task_ends_the_call_and_is_cancelled(server: ScriptedServer) -> None:
    server.streams.append([server.record[0], until_the_caller_leaves])
    async with AsyncClient(server.address, retries=QUICK) as client:
        arrived = asyncio.Event()

        async def read() -> None:
            async with client.stream("Hi") as stream:
                async for _ in stream:
                    arrived.set()

        task = asyncio.create_task(read())
        await asyncio.wait_for(arrived.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(server.calls[0].ended.wait, 5)


async def test_closing_an_asynchronous_stream_from_another_task_ends_it(server: ScriptedServer) -> None:
    release = threading.Event()
    server.streams.append([server.record[0], lambda _: release.wait(10)])
    async with AsyncClient(server.address, retries=QUICK) as client:
        stream = client.stream("Hi")
        await anext(stream)
        rest = asyncio.create_task(_collect(stream))
        await asyncio.sleep(0)
        await stream.close()
        assert await asyncio.wait_for(rest, 5) == []
    release.set()


async def _collect(stream: object) -> list[chat_pb2.ChatEvent]:
    return [event async for event in stream]  # type: ignore[attr-defined]


@st.composite
def broken_deliveries(draw: st.DrawFn) -> tuple[list[chat_pb2.ChatEvent], list[list[Step]]]:
    """A record, and calls that bring it in pieces: cut at will, merged at will, some of it once more."""
    words = draw(st.lists(st.text(max_size=3), max_size=8))
    record = answer(words)
    cuts = sorted(draw(st.lists(st.integers(0, len(record)), max_size=5)))
    sizes = iter(draw(st.lists(st.integers(1, 4), min_size=len(record), max_size=len(record))))
    streams: list[list[Step]] = []
    sent = 0
    for cut in [*cuts, len(record)]:
        again = draw(st.integers(0, sent))
        steps: list[Step] = [*record[again:sent]]
        while sent < cut:
            # Only deltas of text are merged.
            last = min(sent + next(sizes), cut, len(record) - 1) if 0 < sent < len(record) - 1 else sent + 1
            text = "".join(event.text_delta.text for event in record[sent:last])
            steps.append(merged(record[sent], record[last - 1], text) if last - sent > 1 else record[sent])
            sent = last
        streams.append(steps if sent == len(record) else [*steps, BROKEN])
        if sent == len(record):
            break
    return record, streams


@pytest.fixture(scope="module")
def law_server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as scripted:
        yield scripted


@settings(max_examples=40, deadline=None)
@given(delivery=broken_deliveries())
def test_wherever_it_is_cut_a_stream_is_the_record(
    law_server: ScriptedServer, delivery: tuple[list[chat_pb2.ChatEvent], list[list[Step]]]
) -> None:
    record, streams = delivery
    law_server.record = record
    law_server.streams.clear()
    law_server.streams.extend(streams)
    with Client(
        law_server.address, retries=Retries(attempts=1000, first_delay=0, resume_attempts=1000)
    ) as client:
        events = list(client.stream("Hi"))
    assert covers_everything(events, len(record))
    assert text_of(events) == text_of(record)


@given(
    positions=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), max_size=60),
)
def test_whatever_arrives_a_reader_holds_a_prefix_of_the_record(positions: list[tuple[int, int]]) -> None:
    reader = RecordReader(generation_id=GENERATION_ID)
    taken: list[int] = []
    for first, last in positions:
        event = chat_pb2.ChatEvent(first_seq=first, seq=last, text_delta=chat_pb2.TextDelta(text="x"))
        try:
            if reader.accept(event):
                taken += range(first, last + 1)
        except BrokenRecord:
            pass
    assert taken == list(range(1, reader.seq + 1))
