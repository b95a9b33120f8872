"""AnalyticsService over gRPC: map, call, map."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from antiphon.analytics.v1 import analytics_pb2, analytics_pb2_grpc

from services.analytics.mapping import exports
from services.analytics.mapping.events import recorded_to_proto, rejected_to_proto, submitted
from services.analytics.mapping.figures import (
    balance_to_proto,
    figures_to_proto,
    group_to_proto,
    price_to_proto,
    shares_to_proto,
    span_to_proto,
    steps_to_proto,
)
from services.analytics.mapping.requests import dimensions, filter_of, moment, span
from services.analytics.model.figures import Dimension
from services.analytics.ports import Clock
from services.analytics.usecases.export_events import ExportEvents
from services.analytics.usecases.prices import ListPrices, SetPrice
from services.analytics.usecases.reconcile import Reconcile
from services.analytics.usecases.record_events import RecordEvents
from services.analytics.usecases.rejected_events import ListRejectedEvents
from services.analytics.usecases.reports import (
    GetServiceAnalytics,
    GetSystemAnalytics,
    GetUsage,
    GetUserAnalytics,
    QueryUsage,
)
from services.analytics.usecases.watch_usage import WatchUsage
from services.capabilities.metering.model import ServiceType, Unit
from services.kernel.request import current

_TOP = 10
_GROUPS = 100


@dataclass(frozen=True, slots=True)
class UseCases:
    """All that Analytics can do."""

    record: RecordEvents
    user: GetUserAnalytics
    service: GetServiceAnalytics
    system: GetSystemAnalytics
    usage: GetUsage
    query: QueryUsage
    watch: WatchUsage
    export: ExportEvents
    reconcile: Reconcile
    list_prices: ListPrices
    set_price: SetPrice
    rejected: ListRejectedEvents


class AnalyticsServicer(analytics_pb2_grpc.AnalyticsServiceServicer):
    """Serves the whole contract."""

    def __init__(self, use: UseCases, clock: Clock) -> None:
        self._use = use
        self._clock = clock

    async def RecordEvents(
        self, request: analytics_pb2.RecordEventsRequest, context: Any
    ) -> analytics_pb2.RecordEventsResponse:
        """Ingest a batch."""
        events = request.events
        recorded = await self._use.record(
            current().principal.service, submitted(events), lambda index: events[index].SerializeToString()
        )
        return recorded_to_proto(recorded)

    async def GetUserAnalytics(
        self, request: analytics_pb2.GetUserAnalyticsRequest, context: Any
    ) -> analytics_pb2.GetUserAnalyticsResponse:
        """What a person used."""
        owner, report = await self._use.user(
            current().principal, request.user_id, span(request.span, self._clock())
        )
        return analytics_pb2.GetUserAnalyticsResponse(
            user_id=owner,
            span=span_to_proto(report.span),
            totals=figures_to_proto(report.totals),
            services=shares_to_proto(Dimension.SERVICE_TYPE, report.services),
            models=shares_to_proto(Dimension.MODEL, report.models),
            steps=steps_to_proto(report.steps),
        )

    async def WatchUsage(
        self, request: analytics_pb2.WatchUsageRequest, context: Any
    ) -> AsyncIterator[analytics_pb2.WatchUsageResponse]:
        """The figures whenever they change."""
        readings = self._use.watch(
            current().principal, request.user_id, moment("start_time", request), request.time_zone
        )
        async with aclosing(readings) as found:  # type: ignore[type-var]
            async for reading in found:
                response = analytics_pb2.WatchUsageResponse(figures=figures_to_proto(reading.figures))
                response.start_time.FromDatetime(reading.start)
                response.read_time.FromDatetime(reading.time)
                yield response

    async def ExportEvents(
        self, request: analytics_pb2.ExportEventsRequest, context: Any
    ) -> AsyncIterator[analytics_pb2.ExportEventsResponse]:
        """A file of events."""
        pages = self._use.export(
            current().principal,
            request.user_id,
            request.all_users,
            moment("start_time", request),
            moment("end_time", request),
            filter_of(request.filter),
        )
        as_json = request.format == analytics_pb2.EXPORT_FORMAT_JSON_LINES
        lines = exports.json_lines if as_json else exports.csv_lines
        async with aclosing(pages) as found:  # type: ignore[type-var]
            begun = as_json
            async for page in found:
                head = b"" if begun else exports.csv_header()
                begun = True
                yield analytics_pb2.ExportEventsResponse(chunk=head + lines(page))
            if not begun:
                yield analytics_pb2.ExportEventsResponse(chunk=exports.csv_header())

    async def GetServiceAnalytics(
        self, request: analytics_pb2.GetServiceAnalyticsRequest, context: Any
    ) -> analytics_pb2.GetServiceAnalyticsResponse:
        """What a service did."""
        report = await self._use.service(
            ServiceType(request.service_type), span(request.span, self._clock()), request.top or _TOP
        )
        return analytics_pb2.GetServiceAnalyticsResponse(
            service_type=request.service_type,
            span=span_to_proto(report.span),
            totals=figures_to_proto(report.totals),
            top_models=shares_to_proto(Dimension.MODEL, report.models),
            top_users=shares_to_proto(Dimension.USER, report.users),
            error_reasons=shares_to_proto(Dimension.ERROR_REASON, report.error_reasons),
            steps=steps_to_proto(report.steps),
        )

    async def GetSystemAnalytics(
        self, request: analytics_pb2.GetSystemAnalyticsRequest, context: Any
    ) -> analytics_pb2.GetSystemAnalyticsResponse:
        """What all services did."""
        report = await self._use.system(span(request.span, self._clock()), request.top or _TOP)
        return analytics_pb2.GetSystemAnalyticsResponse(
            span=span_to_proto(report.span),
            totals=figures_to_proto(report.totals),
            services=shares_to_proto(Dimension.SERVICE_TYPE, report.services),
            top_models=shares_to_proto(Dimension.MODEL, report.models),
            top_users=shares_to_proto(Dimension.USER, report.users),
            user_count=report.user_count,
            rejected_event_count=report.rejected_count,
            steps=steps_to_proto(report.steps),
        )

    async def GetUsage(
        self, request: analytics_pb2.GetUsageRequest, context: Any
    ) -> analytics_pb2.GetUsageResponse:
        """What was used altogether."""
        report = await self._use.usage(span(request.span, self._clock()), filter_of(request.filter))
        return analytics_pb2.GetUsageResponse(
            span=span_to_proto(report.span),
            totals=figures_to_proto(report.totals),
            services=shares_to_proto(Dimension.SERVICE_TYPE, report.services),
            steps=steps_to_proto(report.steps),
        )

    async def QueryUsage(
        self, request: analytics_pb2.QueryUsageRequest, context: Any
    ) -> analytics_pb2.QueryUsageResponse:
        """Figures by dimensions."""
        asked, group_by = span(request.span, self._clock()), dimensions(request.group_by)
        totals, told, more = await self._use.query(
            asked,
            group_by,
            filter_of(request.filter),
            limit=request.limit or _GROUPS,
            by_cost=request.order == analytics_pb2.USAGE_ORDER_COST,
        )
        return analytics_pb2.QueryUsageResponse(
            span=span_to_proto(asked),
            totals=figures_to_proto(totals),
            groups=[group_to_proto(group_by, one) for one in told],
            more_groups=more,
        )

    async def Reconcile(
        self, request: analytics_pb2.ReconcileRequest, context: Any
    ) -> analytics_pb2.ReconcileResponse:
        """Compare, and mend."""
        start, end, balances = await self._use.reconcile(
            moment("start_time", request),
            moment("end_time", request),
            [ServiceType(one) for one in dict.fromkeys(request.service_types)],
            repair=request.repair,
        )
        response = analytics_pb2.ReconcileResponse(services=[balance_to_proto(one) for one in balances])
        response.start_time.FromDatetime(start)
        response.end_time.FromDatetime(end)
        return response

    async def ListPrices(
        self, request: analytics_pb2.ListPricesRequest, context: Any
    ) -> analytics_pb2.ListPricesResponse:
        """A page of prices."""
        page, token = await self._use.list_prices(
            request.model, moment("at_time", request), request.page_size, request.page_token, request.skip
        )
        return analytics_pb2.ListPricesResponse(
            prices=[price_to_proto(one) for one in page.items], next_page_token=token
        )

    async def SetPrice(
        self, request: analytics_pb2.SetPriceRequest, context: Any
    ) -> analytics_pb2.SetPriceResponse:
        """Set a price."""
        price = await self._use.set_price(
            request.model,
            Unit(request.unit),
            request.variant,
            request.nano_usd if request.HasField("nano_usd") else None,
            moment("effective_time", request),
        )
        return analytics_pb2.SetPriceResponse(price=price_to_proto(price))

    async def ListRejectedEvents(
        self, request: analytics_pb2.ListRejectedEventsRequest, context: Any
    ) -> analytics_pb2.ListRejectedEventsResponse:
        """A page of bad items."""
        page, token = await self._use.rejected(request.page_size, request.page_token, request.skip)
        return analytics_pb2.ListRejectedEventsResponse(
            rejected_events=[rejected_to_proto(one) for one in page.items], next_page_token=token
        )
