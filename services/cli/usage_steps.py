"""Steps in time: how long they are, and what they are called."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from antiphon.analytics.v1 import analytics_pb2
    from google.protobuf.timestamp_pb2 import Timestamp


class BucketName(StrEnum):
    """How long a step is, as it is typed."""

    MINUTE = "minute"
    QUARTER = "quarter"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    NONE = "none"


def bucket_of(name: BucketName) -> analytics_pb2.Bucket:
    """The length in the contract."""
    from antiphon.analytics.v1 import analytics_pb2

    buckets = {
        BucketName.MINUTE: analytics_pb2.BUCKET_MINUTE,
        BucketName.QUARTER: analytics_pb2.BUCKET_QUARTER_HOUR,
        BucketName.HOUR: analytics_pb2.BUCKET_HOUR,
        BucketName.DAY: analytics_pb2.BUCKET_DAY,
        BucketName.WEEK: analytics_pb2.BUCKET_WEEK,
        BucketName.MONTH: analytics_pb2.BUCKET_MONTH,
        BucketName.NONE: analytics_pb2.BUCKET_UNSPECIFIED,
    }
    return buckets[name]


def label(start: Timestamp, bucket: BucketName, zone: tzinfo, *, exact: bool) -> str:
    """When a step begins, as the clocks of the zone show it. An `exact` one names the distance from UTC, where an hour may come twice."""
    moment = in_zone(start, zone)
    if bucket is BucketName.MONTH:
        return f"{moment:%Y-%m}"
    if bucket in (BucketName.DAY, BucketName.WEEK):
        return f"{moment:%Y-%m-%d}"
    return moment.isoformat(timespec="minutes") if exact else f"{moment:%Y-%m-%d %H:%M}"


def in_zone(moment: Timestamp, zone: tzinfo) -> datetime:
    """A time as the clocks of the zone show it."""
    return moment.ToDatetime(tzinfo=UTC).astimezone(zone)


def calls_of(steps: Iterable[analytics_pb2.Step]) -> list[int]:
    """How many calls each step has."""
    return [step.figures.event_count for step in steps]
