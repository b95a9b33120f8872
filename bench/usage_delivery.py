"""What a usage event costs in processor time: to enqueue a refused call, and to deliver and roll up an event, in this process and by RPC."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import psutil
from antiphon.analytics.v1 import analytics_pb2_grpc
from prometheus_client import CollectorRegistry

from bench.processes import BenchmarkFailed, Process
from bench.usage_events import person, waiting_events
from services.analytics.sink import LocalSink
from services.analytics.stores.usage import SqlUsageStore
from services.analytics.usecases.record_events import RecordEvents
from services.bootstrap.peer_credentials import PeerTls
from services.bootstrap.peers import channel_to
from services.capabilities.identity.providers.service import ServiceTokens
from services.capabilities.metering.metrics import ServiceUsage, UsageMetrics
from services.capabilities.metering.model import ServiceType
from services.capabilities.metering.ports import Sink
from services.capabilities.metering.providers.rpc import SinkByRpc
from services.capabilities.metering.refused import RefusedCalls
from services.capabilities.metering.relay import Relay
from services.capabilities.metering.stores.sql import SqlOutbox
from services.infra.postgres.database import Database
from services.kernel.metering import EndedCall
from services.kernel.principal import Kind, Principal
from services.kernel.secret import DeploymentSecret
from services.settings import PeerSettings

RETENTION = timedelta(days=90)
_MICROSECONDS = 1_000_000
_FLUSH_SECONDS = 300.0


class Cost(NamedTuple):
    """Of an event, in microseconds of processor time: in this process, in PostgreSQL, and in the suite that is told by RPC."""

    here: float
    postgres: float
    suite: float = 0.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """The outbox of Chat and the store of Analytics, on one database."""

    database: Database
    store: SqlUsageStore
    postmaster: psutil.Process

    async def enqueued(self, calls: int) -> Cost:
        """What it takes to note so many refused calls, and to put them into the outbox."""
        outbox = SqlOutbox(self.database, "chat")
        refused = RefusedCalls(outbox, _usage(), calls)
        people = [Principal(Kind.USER, user_id=person(number)) for number in range(100)]

        async def enqueue() -> None:
            for number in range(calls):
                refused.ended_without_result(
                    EndedCall(
                        ServiceType.LLM_CHAT.value,
                        "StreamChat",
                        people[number % 100],
                        False,
                        "RATE_LIMITED",
                        "",
                        "",
                        0.0004,
                    )
                )
            await refused.flush()

        cost = await self._cost(enqueue, calls)
        if (await outbox.backlog()).events < min(calls, 100_000):
            raise BenchmarkFailed("refused calls were not recorded")
        # They are delivered, so that the next ones find an empty outbox.
        await self._relay(self.local_sink(), 1000).flush(_FLUSH_SECONDS)
        return cost

    async def delivered(self, events: int, batch: int, chance: random.Random) -> Cost:
        """What it takes to deliver so many events to the store in batches, and to roll them up."""
        await self._fill(events, chance)
        relay = self._relay(self.local_sink(), batch)

        async def deliver() -> None:
            await relay.flush(_FLUSH_SECONDS)
            await self.store.tidy()

        cost = await self._cost(deliver, events)
        await self._hold_empty()
        return cost

    async def delivered_by_rpc(
        self, events: int, address: str, process: Process, secret: str, chance: random.Random
    ) -> Cost:
        """The same to a suite, in batches of 1,000."""
        await self._fill(events, chance)
        async with channel_to(address, PeerTls(PeerSettings())) as channel:
            sink = SinkByRpc(
                analytics_pb2_grpc.AnalyticsServiceStub(channel),
                ServiceTokens(DeploymentSecret(secret.encode()), "bench"),
            )
            relay = self._relay(sink, 1000)
            before = process.cpu_seconds()
            cost = await self._cost(lambda: relay.flush(_FLUSH_SECONDS), events)
            used = process.cpu_seconds() - before
        await self._hold_empty()
        return cost._replace(suite=used * _MICROSECONDS / events)

    def local_sink(self) -> LocalSink:
        """Analytics in this process."""
        record = RecordEvents(
            self.store, lambda: datetime.now(UTC), RETENTION, noted=lambda _: None, stored=lambda _: None
        )
        return LocalSink(record, "bench")

    def _relay(self, sink: Sink, batch: int) -> Relay:
        return Relay(SqlOutbox(self.database, "chat"), sink, _usage(), most_events=batch)

    async def _fill(self, events: int, chance: random.Random) -> None:
        outbox = SqlOutbox(self.database, "chat")
        for first in range(0, events, 1000):
            some = waiting_events(min(1000, events - first), chance)
            await outbox.add(some, [""] * len(some))

    async def _hold_empty(self) -> None:
        backlog = await SqlOutbox(self.database, "chat").backlog()
        if backlog.events or backlog.set_aside:
            raise BenchmarkFailed("usage events were not delivered")

    async def _cost(self, work: Callable[[], object], events: int) -> Cost:
        postgres, here = tree_seconds(self.postmaster), time.process_time()
        done = work()
        assert asyncio.iscoroutine(done)
        await done
        return Cost(
            (time.process_time() - here) * _MICROSECONDS / events,
            (tree_seconds(self.postmaster) - postgres) * _MICROSECONDS / events,
        )


def tree_seconds(root: psutil.Process) -> float:
    """Processor time that a process and its children have taken so far, those that have ended included."""
    times = root.cpu_times()
    seconds = float(times.user + times.system + times.children_user + times.children_system)
    for child in root.children():
        try:
            own = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds += float(own.user + own.system)
    return seconds


def _usage() -> ServiceUsage:
    return ServiceUsage("bench", UsageMetrics(CollectorRegistry()))
