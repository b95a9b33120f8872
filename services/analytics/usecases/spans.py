"""The span of time that a request asks about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from services.analytics.model.prices import BEGINNING
from services.analytics.model.steps import MOST_STEPS, Bucket, Span, beginning_of_day
from services.kernel.errors import InvalidArgument

_DEFAULT_DAYS = 30
_LONGEST = timedelta(days=3660)
_MINUTES_KEPT = timedelta(days=3)

LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""Before this all times lie that are asked about: those near the end of the calendar can't be told in every time zone."""


def zone_of(name: str, field: str = "span.time_zone") -> ZoneInfo:
    """A time zone by its IANA name, UTC for an empty one. Raises InvalidArgument."""
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError):
        # Also names of folders, and of files that are no zones.
        raise InvalidArgument.field(
            field, f"{name!r} is no time zone; use a name of the IANA database such as America/Lima"
        ) from None


def span_of(
    start: datetime | None, end: datetime | None, time_zone: str, bucket: Bucket, now: datetime
) -> Span:
    """The span that a request means, with what it leaves out. Raises InvalidArgument."""
    zone = zone_of(time_zone)
    end = told(end, "span.end_time") or whole_millis(now)
    start = told(start, "span.start_time") or beginning_of_day(end - timedelta(days=_DEFAULT_DAYS), zone)
    if start >= end:
        raise InvalidArgument.field("span.end_time", "must be after start_time")
    if end - start > _LONGEST:
        raise InvalidArgument.field(
            "span.start_time", f"must be at most {_LONGEST.days} days before the end; ask in parts"
        )
    span = Span(start, end, zone, bucket)
    if span.is_too_fine:
        raise InvalidArgument.field(
            "span.bucket", f"makes more than {MOST_STEPS} steps; choose a longer one, or a shorter span"
        )
    if bucket is Bucket.MINUTE and start < now - _MINUTES_KEPT:
        raise InvalidArgument.field(
            "span.bucket", f"minutes are told of the last {_MINUTES_KEPT.days} days; choose a longer one"
        )
    return span


def told(moment: datetime | None, field: str) -> datetime | None:
    """The last whole millisecond of a moment that a request names. Raises InvalidArgument for one of another age."""
    if moment is None:
        return None
    if not BEGINNING <= moment < LATEST:
        raise InvalidArgument.field(field, "must be between the years 1970 and 2200")
    return whole_millis(moment)


def whole_millis(moment: datetime) -> datetime:
    """The last whole millisecond, in UTC: events count at no finer time."""
    utc = moment.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)
