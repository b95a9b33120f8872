"""How long Analytics takes to answer what administrators and people ask most."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc
from antiphon.analytics.v1 import analytics_pb2, analytics_pb2_grpc

from bench.figures import middle
from bench.processes import BenchmarkFailed
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


async def median_milliseconds(ask: Ask, times: int) -> float:
    """How long the answer takes in the middle of so many times, after one that does not count."""
    took = []
    for number in range(times + 1):
        began = time.perf_counter()
        answer = await ask()
        took.append((time.perf_counter() - began) * 1000)
        if not number and not answer.ByteSize():
            raise BenchmarkFailed("Analytics has answered nothing")
    return middle(took[1:])
