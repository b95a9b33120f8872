"""How long Analytics takes to answer what administrators and people ask most."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import grpc
import psutil
from antiphon.analytics.v1 import analytics_pb2, analytics_pb2_grpc

from bench.figures import middle
from bench.processes import BenchmarkFailed, Process
from bench.usage_delivery import tree_seconds
from bench.usage_events import Month, person

SYSTEM = "the system's 30 days by day"
PERSON = "a person's 30 days by day"
GROUPED = "7 days by model, provider and status, by hour in Lima"
LEADERS = "10 people with the most calls in 30 days"
_SECONDS = 30.0
_SOMEBODY = 250

Ask = Callable[[], Awaitable[Any]]


class Questions:
    """Asks by RPC, with an administrator's token, one question after the other."""

    def __init__(self, channel: grpc.aio.Channel, token: str, month: Month) -> None:
        self._stub = analytics_pb2_grpc.AnalyticsServiceStub(channel)
        self._options: dict[str, Any] = {
            "metadata": (("authorization", f"Bearer {token}"),),
            "timeout": _SECONDS,
        }
        self._month = month

    def all(self) -> Mapping[str, Ask]:
        """By what they are about."""
        return {
            SYSTEM: self._system,
            PERSON: self._person,
            GROUPED: self._grouped,
            LEADERS: self._leaders,
        }

    async def total(self) -> int:
        """How many calls the month has."""
        answer = await self._system()
        return int(answer.totals.event_count)

    async def _system(self) -> analytics_pb2.GetSystemAnalyticsResponse:
        request = analytics_pb2.GetSystemAnalyticsRequest(
            span=self._span(30, analytics_pb2.BUCKET_DAY), top=10
        )
        return await self._stub.GetSystemAnalytics(request, **self._options)

    async def _person(self) -> analytics_pb2.GetUserAnalyticsResponse:
        request = analytics_pb2.GetUserAnalyticsRequest(
            user_id=person(_SOMEBODY), span=self._span(30, analytics_pb2.BUCKET_DAY)
        )
        return await self._stub.GetUserAnalytics(request, **self._options)

    async def _grouped(self) -> analytics_pb2.QueryUsageResponse:
        request = analytics_pb2.QueryUsageRequest(
            span=self._span(7, analytics_pb2.BUCKET_HOUR, "America/Lima"),
            group_by=[
                analytics_pb2.DIMENSION_MODEL,
                analytics_pb2.DIMENSION_PROVIDER,
                analytics_pb2.DIMENSION_STATUS,
            ],
            limit=50,
        )
        return await self._stub.QueryUsage(request, **self._options)

    async def _leaders(self) -> analytics_pb2.QueryUsageResponse:
        request = analytics_pb2.QueryUsageRequest(
            span=self._span(30), group_by=[analytics_pb2.DIMENSION_USER], limit=10
        )
        return await self._stub.QueryUsage(request, **self._options)

    def _span(
        self,
        days: int,
        bucket: analytics_pb2.Bucket = analytics_pb2.BUCKET_UNSPECIFIED,
        time_zone: str = "",
    ) -> analytics_pb2.TimeSpan:
        span = analytics_pb2.TimeSpan(bucket=bucket, time_zone=time_zone)
        start = self._month.end - (self._month.end - self._month.start) * days / 30
        span.start_time.FromDatetime(start)
        span.end_time.FromDatetime(self._month.end)
        return span


class Taken(NamedTuple):
    """What a question takes, in milliseconds: until the answer is there, the median; and processor time of the suite and of PostgreSQL, the mean."""

    wait: float
    suite: float
    postgres: float


async def taken(ask: Ask, times: int, suite: Process, postmaster: psutil.Process) -> Taken:
    """Of so many times, after one that does not count."""
    if not (await ask()).ByteSize():
        raise BenchmarkFailed("Analytics has answered nothing")
    waits = []
    used, in_postgres = suite.cpu_seconds(), tree_seconds(postmaster)
    for _ in range(times):
        began = time.perf_counter()
        await ask()
        waits.append((time.perf_counter() - began) * 1000)
    return Taken(
        middle(waits),
        (suite.cpu_seconds() - used) * 1000 / times,
        (tree_seconds(postmaster) - in_postgres) * 1000 / times,
    )
