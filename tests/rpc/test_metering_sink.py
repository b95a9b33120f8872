"""Events on their way to an Analytics in another process: what is sent, and what comes of each way in which it fails."""

# ruff: noqa: N802 - RPC methods carry the contract's names.

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from antiphon.analytics.v1 import analytics_pb2, analytics_pb2_grpc
from antiphon.usage.v1 import usage_pb2

from services.capabilities.metering.ports import Delivered, Sink
from services.capabilities.metering.providers.rpc import SinkByRpc
from services.capabilities.metering.relay import Relay
from services.capabilities.metering.stores.sql import SqlOutbox
from services.infra.postgres.database import Database
from services.kernel.errors import (
    DeadlineExceeded,
    InvalidArgument,
    ResourceExhausted,
    ServiceError,
    Unavailable,
)
from services.runtime.mounted import Mounted
from services.settings import ServerSettings
from tests.fakes.metering_memory import Figures, some_waiting
from tests.fakes.runtime_services import bearer, running


@dataclass
class Desk(analytics_pb2_grpc.AnalyticsServiceServicer):
    """Analytics, answering what a test wants."""

    fails: BaseException | None = None
    hangs: bool = False
    rejects: int = 0
    batches: list[list[usage_pb2.UsageEvent]] = field(default_factory=list)

    async def RecordEvents(self, request: Any, context: Any) -> Any:
        self.batches.append(list(request.events))
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails
        return analytics_pb2.RecordEventsResponse(
            accepted_count=len(request.events) - self.rejects,
            known_count=0,
            rejected=[analytics_pb2.RejectedItem(index=index) for index in range(self.rejects)],
        )


@dataclass(frozen=True)
class Caller:
    """A service's credential, or that of somebody else."""

    name: str = "service"

    def metadata(self) -> tuple[tuple[str, str], ...]:
        return bearer(self.name)


@asynccontextmanager
async def analytics(desk: Desk, max_message_bytes: int = 4 * 1024**2) -> AsyncIterator[Any]:
    """A stub of a server with this desk."""
    mounted = Mounted("analytics", {"antiphon.analytics.v1.AnalyticsService": desk})
    settings = ServerSettings(port=0, grace=0.2, max_message_bytes=max_message_bytes)
    with tempfile.TemporaryFile() as log:
        async with running(log.fileno(), settings=settings, mounted=[mounted], level="CRITICAL") as found:
            yield analytics_pb2_grpc.AnalyticsServiceStub(found.channel)


def batch(count: int) -> list[bytes]:
    return [event.payload for event in some_waiting(count)]


async def test_a_batch_arrives_as_it_is_and_its_fate_comes_back() -> None:
    desk, payloads = Desk(rejects=1), batch(3)
    async with analytics(desk) as stub:
        assert await SinkByRpc(stub, Caller()).record(payloads) == Delivered(2, 0, 1)
    (arrived,) = desk.batches
    assert [event.SerializeToString(deterministic=True) for event in arrived] == payloads


@pytest.mark.parametrize(
    ("fails", "expected", "retry_after"),
    [
        (Unavailable("away", retry_after=7.5), Unavailable, 7.5),
        (ResourceExhausted("full", retry_after=2.0), ResourceExhausted, 2.0),
        (DeadlineExceeded("late"), DeadlineExceeded, None),
        (InvalidArgument("bad"), InvalidArgument, None),
        (RuntimeError("a defect"), ServiceError, None),
    ],
)
async def test_failures_say_whether_to_try_again_and_when(
    fails: BaseException, expected: type[ServiceError], retry_after: float | None
) -> None:
    async with analytics(Desk(fails=fails)) as stub:
        with pytest.raises(ServiceError) as raised:
            await SinkByRpc(stub, Caller()).record(batch(1))
    assert type(raised.value) is expected
    assert raised.value.retry_after == retry_after


@pytest.mark.parametrize("caller", ["nobody", "user"])
async def test_a_credential_that_is_refused_is_no_fault_of_the_events(caller: str) -> None:
    async with analytics(Desk()) as stub:
        with pytest.raises(Unavailable) as raised:
            await SinkByRpc(stub, Caller(caller)).record(batch(1))
    assert "this process" in raised.value.message


async def test_something_else_at_its_address_is_no_fault_of_the_events() -> None:
    with tempfile.TemporaryFile() as log:
        async with running(log.fileno(), level="CRITICAL") as found:
            stub: Any = analytics_pb2_grpc.AnalyticsServiceStub(found.channel)
            with pytest.raises(Unavailable):
                await SinkByRpc(stub, Caller()).record(batch(1))


async def test_nobody_at_its_address_may_be_there_later() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:9") as channel:
        stub: Any = analytics_pb2_grpc.AnalyticsServiceStub(channel)
        with pytest.raises(Unavailable):
            await SinkByRpc(stub, Caller(), delivery_seconds=5).record(batch(1))


async def test_a_sink_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    async with analytics(Desk(hangs=True)) as stub:
        with pytest.raises(DeadlineExceeded):
            await SinkByRpc(stub, Caller(), delivery_seconds=0.1).record(batch(1))


async def test_bytes_that_are_no_event_are_refused_as_they_are() -> None:
    async with analytics(Desk()) as stub:
        with pytest.raises(InvalidArgument):
            await SinkByRpc(stub, Caller()).record([*batch(1), b"\xff\xff"])


async def test_a_batch_that_is_too_large_says_so() -> None:
    async with analytics(Desk(), max_message_bytes=1024) as stub:
        with pytest.raises(ResourceExhausted) as raised:
            await SinkByRpc(stub, Caller()).record(batch(50))
    assert raised.value.reason == "MESSAGE_TOO_LARGE"


async def test_the_relay_delivers_all_but_what_is_no_event(migrated_url: str) -> None:
    desk, events = Desk(), some_waiting(40)
    bad = events[7]._replace(payload=b"\xff\xff")
    # One connection is enough for everybody, since a delivery holds none.
    async with (
        Database(migrated_url, min_size=1, max_size=1) as database,
        analytics(desk, max_message_bytes=2048) as stub,
    ):
        store = SqlOutbox(database, "chat")
        await store.add([*events[:7], bad, *events[8:]], ["ana"] * 40)

        class Looking:
            async def record(self, payloads: Any) -> Delivered:
                await store.backlog()
                return await sink.record(payloads)

        sink: Sink = SinkByRpc(stub, Caller())
        await Relay(store, Looking(), Figures().usage).flush(20)
        backlog = await store.backlog()
        assert (backlog.events, backlog.set_aside) == (0, 1)
    arrived = [event.event_id for found in desk.batches for event in found]
    assert sorted(arrived) == sorted(event.event_id for event in events if event.event_id != bad.event_id)
