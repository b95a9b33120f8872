# ruff: noqa: N802 - RPC methods carry the contract's names.
"""A scripted server that also plays Analytics: it answers what a test has written down, and sets prices."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from antiphon.analytics.v1 import analytics_pb2, analytics_pb2_grpc
from antiphon.usage.v1 import usage_pb2
from google.protobuf.message import Message

from tests.scripted_accounts import ScriptedAccounts, page

INPUT, OUTPUT = usage_pb2.UNIT_INPUT_TOKENS, usage_pb2.UNIT_OUTPUT_TOKENS
START = datetime(2026, 11, 1, tzinfo=UTC)
Play = Message | Callable[[grpc.ServicerContext], object]
"""A message to send, or what to do at that point."""


def figures(
    calls: int = 1,
    *,
    tokens: int = 0,
    cost: int | None = None,
    failed: int = 0,
    unpriced: int = 0,
    seconds: float = 0.0,
) -> analytics_pb2.Figures:
    """Figures of `calls` calls with as many input tokens and twice as many output tokens."""
    told = analytics_pb2.Figures(
        event_count=calls,
        success_count=calls - failed,
        error_count=failed,
        cost_nano_usd=cost,
        unpriced_event_count=unpriced,
    )
    if tokens:
        told.quantities.add(unit=INPUT, amount=tokens)
        told.quantities.add(unit=OUTPUT, amount=2 * tokens)
    if seconds:
        for spans, factor in ((told.latency, 1.0), (told.time_to_first_token, 0.1)):
            spans.count = calls
            for name, more in (("p50", 1), ("p90", 2), ("p99", 3)):
                getattr(spans, name).FromNanoseconds(int(seconds * factor * more * 1e9))
    return told


def steps(
    counts: Sequence[analytics_pb2.Figures], start: datetime = START, length: timedelta = timedelta(days=1)
) -> list[analytics_pb2.Step]:
    """A step for each of the figures, one after the other."""
    return [
        analytics_pb2.Step(
            start_time=start + number * length, end_time=start + (number + 1) * length, figures=each
        )
        for number, each in enumerate(counts)
    ]


def share(name: str, of: analytics_pb2.Figures) -> analytics_pb2.Share:
    """What `name` has of the figures."""
    return analytics_pb2.Share(name=name, figures=of)


def three_days() -> analytics_pb2.GetUserAnalyticsResponse:
    """Three days with calls on two of them, by two models, one of which has no price."""
    totals = figures(5, tokens=700, cost=2_100_000, unpriced=1, failed=1, seconds=1.5)
    return analytics_pb2.GetUserAnalyticsResponse(
        totals=totals,
        services=[share("llm_chat", totals)],
        models=[share("echo", figures(4, tokens=700, cost=2_100_000)), share("flux", figures(1, unpriced=1))],
        steps=steps([figures(4, tokens=700, cost=2_100_000), figures(0, cost=0), figures(1, unpriced=1)]),
    )


@dataclass
class ScriptedUsage(ScriptedAccounts):
    """Answers each RPC with the message of that name in `answers`, with the span that was asked for where it has none of its own. `plays` is
    what the next streams send."""

    answers: dict[str, Message] = field(default_factory=dict)
    plays: deque[Sequence[Play]] = field(default_factory=deque)
    prices: list[analytics_pb2.Price] = field(default_factory=list)
    rejected: list[analytics_pb2.RejectedEvent] = field(default_factory=list)

    def add_services(self, server: grpc.Server) -> None:
        """Everything."""
        super().add_services(server)
        analytics_pb2_grpc.add_AnalyticsServiceServicer_to_server(_Analytics(self), server)


class _Analytics(analytics_pb2_grpc.AnalyticsServiceServicer):
    def __init__(self, script: ScriptedUsage) -> None:
        self._script = script

    def _answer(self, method: str, request: Any, context: grpc.ServicerContext, empty: Any) -> Any:
        self._script.arrived(method, request, context)
        answer = type(empty)()
        answer.CopyFrom(self._script.answers.get(method, empty))
        if hasattr(request, "span") and not answer.HasField("span"):
            answer.span.CopyFrom(request.span)
            if not answer.span.HasField("start_time"):
                answer.span.start_time.FromDatetime(START)
            if not answer.span.HasField("end_time"):
                answer.span.end_time.FromDatetime(START + timedelta(days=30))
        return answer

    def _play(self, method: str, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        self._script.arrived(method, request, context)
        with self._script.lock:
            plays = self._script.plays.popleft() if self._script.plays else ()
        for each in plays:
            if isinstance(each, Message):
                yield each
            else:
                each(context)

    def GetUserAnalytics(self, request: Any, context: Any) -> Any:
        return self._answer("GetUserAnalytics", request, context, analytics_pb2.GetUserAnalyticsResponse())

    def GetServiceAnalytics(self, request: Any, context: Any) -> Any:
        empty = analytics_pb2.GetServiceAnalyticsResponse()
        return self._answer("GetServiceAnalytics", request, context, empty)

    def GetSystemAnalytics(self, request: Any, context: Any) -> Any:
        empty = analytics_pb2.GetSystemAnalyticsResponse()
        return self._answer("GetSystemAnalytics", request, context, empty)

    def GetUsage(self, request: Any, context: Any) -> Any:
        return self._answer("GetUsage", request, context, analytics_pb2.GetUsageResponse())

    def QueryUsage(self, request: Any, context: Any) -> Any:
        return self._answer("QueryUsage", request, context, analytics_pb2.QueryUsageResponse())

    def Reconcile(self, request: Any, context: Any) -> Any:
        return self._answer("Reconcile", request, context, analytics_pb2.ReconcileResponse())

    def WatchUsage(self, request: Any, context: Any) -> Iterator[Any]:
        yield from self._play("WatchUsage", request, context)

    def ExportEvents(self, request: Any, context: Any) -> Iterator[Any]:
        yield from self._play("ExportEvents", request, context)

    def ListPrices(self, request: Any, context: Any) -> Any:
        self._script.arrived("ListPrices", request, context)
        named = [each for each in self._script.prices if request.model in ("", each.model)]
        items, following = page(named, request)
        return analytics_pb2.ListPricesResponse(prices=items, next_page_token=following)

    def SetPrice(self, request: analytics_pb2.SetPriceRequest, context: Any) -> Any:
        self._script.arrived("SetPrice", request, context)
        price = analytics_pb2.Price(
            model=request.model,
            unit=request.unit,
            variant=request.variant,
            nano_usd=request.nano_usd if request.HasField("nano_usd") else None,
            effective_time=request.effective_time,
            source=analytics_pb2.PRICE_SOURCE_ADMINISTRATOR,
        )
        self._script.prices.insert(0, price)
        return analytics_pb2.SetPriceResponse(price=price)

    def ListRejectedEvents(self, request: Any, context: Any) -> Any:
        self._script.arrived("ListRejectedEvents", request, context)
        items, following = page(self._script.rejected, request)
        return analytics_pb2.ListRejectedEventsResponse(rejected_events=items, next_page_token=following)
