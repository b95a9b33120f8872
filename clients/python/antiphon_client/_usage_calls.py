"""The RPCs of Analytics for people and administrators as values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

from antiphon.analytics.v1 import analytics_pb2
from antiphon.usage.v1 import usage_pb2

from antiphon_client._calls import Call, call, method_of
from antiphon_client._times import timestamp

_ANALYTICS = analytics_pb2.DESCRIPTOR.services_by_name["AnalyticsService"]

GET_USER_ANALYTICS = method_of(
    _ANALYTICS,
    "GetUserAnalytics",
    analytics_pb2.GetUserAnalyticsRequest,
    analytics_pb2.GetUserAnalyticsResponse,
)
WATCH_USAGE = method_of(
    _ANALYTICS, "WatchUsage", analytics_pb2.WatchUsageRequest, analytics_pb2.WatchUsageResponse
)
EXPORT_EVENTS = method_of(
    _ANALYTICS, "ExportEvents", analytics_pb2.ExportEventsRequest, analytics_pb2.ExportEventsResponse
)
GET_SERVICE_ANALYTICS = method_of(
    _ANALYTICS,
    "GetServiceAnalytics",
    analytics_pb2.GetServiceAnalyticsRequest,
    analytics_pb2.GetServiceAnalyticsResponse,
)
GET_SYSTEM_ANALYTICS = method_of(
    _ANALYTICS,
    "GetSystemAnalytics",
    analytics_pb2.GetSystemAnalyticsRequest,
    analytics_pb2.GetSystemAnalyticsResponse,
)
GET_USAGE = method_of(_ANALYTICS, "GetUsage", analytics_pb2.GetUsageRequest, analytics_pb2.GetUsageResponse)
QUERY_USAGE = method_of(
    _ANALYTICS, "QueryUsage", analytics_pb2.QueryUsageRequest, analytics_pb2.QueryUsageResponse
)
RECONCILE = method_of(
    _ANALYTICS, "Reconcile", analytics_pb2.ReconcileRequest, analytics_pb2.ReconcileResponse
)
LIST_PRICES = method_of(
    _ANALYTICS, "ListPrices", analytics_pb2.ListPricesRequest, analytics_pb2.ListPricesResponse
)
SET_PRICE = method_of(_ANALYTICS, "SetPrice", analytics_pb2.SetPriceRequest, analytics_pb2.SetPriceResponse)
LIST_REJECTED_EVENTS = method_of(
    _ANALYTICS,
    "ListRejectedEvents",
    analytics_pb2.ListRejectedEventsRequest,
    analytics_pb2.ListRejectedEventsResponse,
)


class SpanOptions(TypedDict, total=False):
    """Which calls figures are of, and how they are told over time; the fields of TimeSpan, where they are explained.

    `start` is inclusive, `end` exclusive; a time without a zone is this machine's. By default the last 30 days. `time_zone` is an IANA
    name, UTC by default; without a `bucket` there are totals alone.
    """

    start: datetime | None
    end: datetime | None
    time_zone: str
    bucket: analytics_pb2.Bucket


def span_of(options: SpanOptions) -> analytics_pb2.TimeSpan:
    """The span that options name."""
    return analytics_pb2.TimeSpan(
        start_time=timestamp(options.get("start")),
        end_time=timestamp(options.get("end")),
        time_zone=options.get("time_zone", ""),
        bucket=options.get("bucket", analytics_pb2.BUCKET_UNSPECIFIED),
    )


def watch_usage(
    user_id: str, start: datetime | None, time_zone: str
) -> Call[analytics_pb2.WatchUsageRequest, analytics_pb2.WatchUsageResponse]:
    """WatchUsage."""
    request = analytics_pb2.WatchUsageRequest(
        user_id=user_id, start_time=timestamp(start), time_zone=time_zone
    )
    return call(WATCH_USAGE, request)


def export_events(
    file_format: analytics_pb2.ExportFormat,
    user_id: str,
    all_users: bool,
    start: datetime | None,
    end: datetime | None,
    usage_filter: analytics_pb2.UsageFilter | None,
) -> Call[analytics_pb2.ExportEventsRequest, analytics_pb2.ExportEventsResponse]:
    """ExportEvents."""
    request = analytics_pb2.ExportEventsRequest(
        user_id=user_id,
        all_users=all_users,
        start_time=timestamp(start),
        end_time=timestamp(end),
        format=file_format,
        filter=usage_filter,
    )
    return call(EXPORT_EVENTS, request)


def reconcile(
    start: datetime | None, end: datetime | None, service_types: Sequence[usage_pb2.ServiceType], repair: bool
) -> Call[analytics_pb2.ReconcileRequest, analytics_pb2.ReconcileResponse]:
    """Reconcile, safe to repeat: what one try has repaired the next one finds in order."""
    request = analytics_pb2.ReconcileRequest(
        start_time=timestamp(start), end_time=timestamp(end), service_types=service_types, repair=repair
    )
    return call(RECONCILE, request)


def set_price(
    model: str, unit: usage_pb2.Unit, nano_usd: int | None, variant: str, effective: datetime | None
) -> Call[analytics_pb2.SetPriceRequest, analytics_pb2.SetPriceResponse]:
    """SetPrice, safe to repeat. Without a moment a repeated try may be in force from a little later on."""
    request = analytics_pb2.SetPriceRequest(
        model=model,
        unit=unit,
        variant=variant,
        nano_usd=nano_usd,
        effective_time=timestamp(effective),
    )
    return call(SET_PRICE, request)
