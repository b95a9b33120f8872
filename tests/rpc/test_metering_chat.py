"""Chat's meter as a whole: every call is delivered once, whatever came of it, and the same as Chat's own books."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from antiphon.chat.v1 import chat_pb2
from antiphon.usage.v1 import usage_pb2
from structlog.testing import capture_logs

from services.kernel.errors import Unavailable
from tests.fakes.chat_stage import Cue, Stage, stage
from tests.fakes.metered_chat import MeteredChat, metered_chat
from tests.fakes.metering_memory import ScriptedSink, until
from tests.fakes.runtime_services import bearer

pytestmark = pytest.mark.long

OK, ERROR = usage_pb2.USAGE_STATUS_SUCCESS, usage_pb2.USAGE_STATUS_ERROR
Start = Callable[..., AbstractAsyncContextManager[MeteredChat]]


@pytest.fixture
async def model() -> Any:
    async with stage() as made:
        yield made


@pytest.fixture
def start(migrated_url: str, model: Stage, tmp_path: Path) -> Start:
    """Starts Chat with a sink, on a database of the test's own; keyword arguments are settings."""

    def started(sink: Any, **environ: str) -> AbstractAsyncContextManager[MeteredChat]:
        return metered_chat(migrated_url, tmp_path, model, sink, **environ)

    return started


def told(sink: ScriptedSink) -> list[usage_pb2.UsageEvent]:
    """What arrived, in the order of ids."""
    events = [usage_pb2.UsageEvent.FromString(payload) for payload in sink.known]
    return sorted(events, key=lambda event: event.event_id)


def span(message: Any) -> Any:
    message.start_time.FromDatetime(datetime.now(UTC) - timedelta(hours=1))
    message.end_time.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    return message


async def books(chat: MeteredChat) -> Any:
    request = span(chat_pb2.SummarizeUsageRequest())
    return await chat.stub.SummarizeUsage(request, metadata=bearer("service"))


async def nothing_waits(chat: MeteredChat) -> None:
    """Wait until what was delivered has left the outbox: who stops before that has it be delivered once more."""
    async with asyncio.timeout(10):
        while True:
            async with chat.database.connection() as connection:
                cursor = await connection.execute(b"select exists (select from chat.outbox)")
                row = await cursor.fetchone()
            if row is not None and not row[0]:
                return
            await asyncio.sleep(0.01)


async def redeliver(chat: MeteredChat) -> int:
    request = span(chat_pb2.RedeliverUsageRequest())
    response = await chat.stub.RedeliverUsage(request, metadata=bearer("service"))
    return response.event_count


async def test_every_call_is_delivered_once(start: Start) -> None:
    sink = ScriptedSink()
    async with start(sink) as chat:
        request_id = str(uuid.uuid4())
        assert await chat.asks(request_id=request_id)
        # The same call again is that call.
        assert await chat.asks(request_id=request_id)
        assert await chat.asks("echo", caller="", message="one two")
        # Begun, and failed.
        assert not await chat.asks("away")
        # Nothing began.
        assert not await chat.asks("unknown", project="demo")
        assert not await chat.asks(caller="nobody")
        assert not await chat.asks(request_id="no UUID")
        assert not await chat.asks("locked")
        await until(lambda: len(sink.known) == 7, 10)
        summary = await books(chat)
        assert summary.event_count == 3
        assert chat.figure("refused_calls_total", outcome="recorded") == 4
        assert chat.figure("calls_total", model="scripted", status="success") == 1
        assert chat.figure("calls_total", model="away", status="error") == 1
        assert chat.figure("calls_total", model="", status="error") == 4
        assert chat.figure("units_total", model="scripted", unit="input_tokens") == 7
        assert chat.figure("delivered_events_total", outcome="accepted") == 7
    events = told(sink)
    assert len(events) == 7
    began = [event for event in events if not event.refused]
    assert [(event.status, event.model) for event in began] == [
        (OK, "scripted"),
        (OK, "echo"),
        (ERROR, "away"),
    ]
    refused = [event for event in events if event.refused]
    assert [(event.error_reason, event.user_id, event.model, event.project) for event in refused] == [
        ("MODEL_NOT_FOUND", "ana", "", "demo"),
        ("TOKEN_INVALID", "", "", ""),
        ("INVALID_ARGUMENT", "ana", "", ""),
        ("MODEL_NOT_READY", "ana", "locked", ""),
    ]
    assert {event.status for event in refused} == {ERROR}


async def test_callers_who_go_away_at_once_are_told_once_each(start: Start) -> None:
    sink, count = ScriptedSink(), 40
    async with start(sink) as chat:
        calls = []
        for number in range(count):
            call = chat.stub.StreamChat(
                chat_pb2.StreamChatRequest(
                    message="Hola", model="scripted", on_disconnect=chat_pb2.ON_DISCONNECT_STOP
                ),
                metadata=bearer("user"),
            )
            calls.append(call)
            # Some are at the door by then, some have begun, and some never leave.
            await asyncio.sleep(0.0005 * number)
            call.cancel()
        await chat.serving.aclose()
        waits = await chat.waiting()
        async with chat.database.connection() as connection:
            cursor = await connection.execute(b"select count(*) from chat.generations")
            ((generations,),) = await cursor.fetchall()
    events = told(sink)
    assert not waits
    # Those that never came to the server are in nobody's books.
    came = sum(
        sample.value
        for metric in chat.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "antiphon_calls_total" and sample.labels["method"].endswith("/StreamChat")
    )
    assert 0 < came <= count
    assert len(events) == came
    assert len([event for event in events if not event.refused]) == generations


async def test_what_was_recorded_is_delivered_before_the_end_of_a_stop(start: Start, model: Stage) -> None:
    sink, cue = ScriptedSink(), Cue("one ", "two")
    model.play(cue.play)
    async with start(sink) as chat:
        call = chat.stub.StreamChat(
            chat_pb2.StreamChatRequest(message="Hola", model="scripted"), metadata=bearer("user")
        )
        async for _ in call:
            break
        stopping = asyncio.create_task(chat.serving.aclose())
        cue.next(2)
        await stopping
        assert not await chat.waiting()
    (event,) = told(sink)
    assert event.status == OK


async def test_a_sink_that_is_away_keeps_nobody_from_anything(start: Start) -> None:
    sink = ScriptedSink(fails=Unavailable("away", retry_after=0.0))
    async with start(sink) as chat:
        assert await chat.asks()
        await until(lambda: sink.calls, 10)
        assert (await books(chat)).pending_event_count == 1
        await until(lambda: chat.figure("delivery_failures_total", code="UNAVAILABLE"))
        async with asyncio.timeout(5):
            await chat.serving.aclose()
        waits = await chat.waiting()
        assert [event.model for event in waits] == ["scripted"]
    # The next start delivers it.
    sink = ScriptedSink()
    async with start(sink):
        await until(lambda: sink.known, 10)


async def test_without_a_sink_events_wait_and_that_is_told_once(start: Start) -> None:
    with capture_logs() as logs:
        async with start(None) as chat:
            assert await chat.asks()
            assert (await books(chat)).pending_event_count == 1
            assert len(await chat.waiting()) == 1
    warnings = [entry["event"] for entry in logs if entry["log_level"] == "warning"]
    assert len([text for text in warnings if "usage events" in text]) == 1


async def test_nothing_is_recorded_and_nothing_is_shipped_when_analytics_is_off(start: Start) -> None:
    sink = ScriptedSink()
    with capture_logs() as logs:
        async with start(sink, ENABLE_ANALYTICS="false") as chat:
            assert await chat.asks()
            assert not await chat.asks("unknown")
            assert chat.chat.mounted.meter is None
            summary = await books(chat)
            assert (summary.event_count, summary.pending_event_count) == (0, 0)
            assert await redeliver(chat) == 0
            names = {task.get_name() for task in asyncio.all_tasks()}
            assert not names & {"usage_relay", "refused_calls", "usage_backlog"}
            await chat.serving.aclose()
            assert await chat.waiting() == []
    assert sink.calls == []
    assert [entry for entry in logs if "usage events" in entry["event"]] == []


async def test_what_a_sink_has_lost_is_delivered_again(start: Start) -> None:
    sink = ScriptedSink()
    async with start(sink) as chat:
        for _ in range(3):
            assert await chat.asks()
        await until(lambda: len(sink.known) == 3, 10)
        before = {event.event_id: event for event in told(sink)}
        await nothing_waits(chat)
        sink.known.clear()
        assert await redeliver(chat) == 3
        await until(lambda: len(sink.known) == 3, 10)
        await nothing_waits(chat)
        assert {event.event_id: event for event in told(sink)} == before
        # What it knows already it ignores, and what waits is not doubled.
        assert await redeliver(chat) == 3
        await until(lambda: chat.figure("delivered_events_total", outcome="known") == 3, 10)
        await nothing_waits(chat)
        assert (await books(chat)).pending_event_count == 0


async def test_only_services_have_events_delivered_again(start: Start) -> None:
    async with start(ScriptedSink()) as chat:
        for caller in ("user", "admin"):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await chat.stub.RedeliverUsage(
                    span(chat_pb2.RedeliverUsageRequest()), metadata=bearer(caller)
                )
            assert failed.value.code() is grpc.StatusCode.PERMISSION_DENIED
        empty = chat_pb2.RedeliverUsageRequest()
        empty.start_time.GetCurrentTime()
        empty.end_time.CopyFrom(empty.start_time)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await chat.stub.RedeliverUsage(empty, metadata=bearer("service"))
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_waits_is_shown(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.capabilities.metering.wiring.BACKLOG_SECONDS", 0.01)
    async with start(None) as chat:
        assert await chat.asks()
        await until(lambda: chat.figure("outbox_events") == 1)
        await until(lambda: chat.figure("outbox_oldest_seconds") > 0)
        assert chat.figure("outbox_set_aside_events") == 0
        async with chat.database.connection() as connection:
            await connection.execute(b"update chat.outbox set set_aside = 'it is bad'")
        await until(lambda: chat.figure("outbox_set_aside_events") == 1)
        assert chat.figure("outbox_events") == 0


async def test_two_replicas_deliver_everything_between_them(
    migrated_url: str, model: Stage, tmp_path: Path
) -> None:
    sink = ScriptedSink()
    async with contextlib.AsyncExitStack() as stack:
        replicas = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            replicas.append(
                await stack.enter_async_context(metered_chat(migrated_url, tmp_path / name, model, sink))
            )
        for replica in (*replicas, *replicas):
            assert await replica.asks()
        await until(lambda: len(sink.known) == 4, 10)
        await nothing_waits(replicas[1])
        # One of them stops, and the other one goes on at once.
        await replicas[0].serving.aclose()
        assert await replicas[1].asks()
        await until(lambda: len(sink.known) == 5, 3)
        await nothing_waits(replicas[1])
    assert sum(len(call) for call in sink.calls) == 5
