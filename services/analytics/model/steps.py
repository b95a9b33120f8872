"""Steps in time, as the clocks of a time zone make them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from zoneinfo import ZoneInfo

MOST_STEPS = 3000

_AN_HOUR_BEGINS = datetime(1970, 1, 1)  # noqa: DTZ001 - the clock of any zone.


class Bucket(Enum):
    """The length of a step; numbers as in antiphon.analytics.v1.Bucket."""

    NONE = 0
    MINUTE = 1
    QUARTER_HOUR = 2
    HOUR = 3
    DAY = 4
    WEEK = 5
    MONTH = 6


_SIZES = {
    Bucket.MINUTE: timedelta(minutes=1),
    Bucket.QUARTER_HOUR: timedelta(minutes=15),
    Bucket.HOUR: timedelta(hours=1),
}
# The least that a step takes; days and months are shorter where clocks are put forward.
_LEAST = {
    **_SIZES,
    Bucket.DAY: timedelta(hours=22),
    Bucket.WEEK: timedelta(days=6),
    Bucket.MONTH: timedelta(days=27),
}


@dataclass(frozen=True, slots=True)
class Span:
    """[start, end), in UTC and whole milliseconds, and how it is told over time."""

    start: datetime
    end: datetime
    zone: ZoneInfo
    bucket: Bucket = Bucket.NONE

    def __post_init__(self) -> None:
        if not self.start < self.end:
            raise ValueError("a span has a length")

    @property
    def is_too_fine(self) -> bool:
        """Whether it has more steps than are told."""
        return self.bucket is not Bucket.NONE and (self.end - self.start) / _LEAST[self.bucket] > MOST_STEPS


def steps(span: Span) -> list[tuple[datetime, datetime]]:
    """The steps of a span, which cover it without a gap; one for the whole of it without a bucket. Steps begin as the clocks of the zone say; the first
    and the last are cut off where the span is."""
    if span.bucket is Bucket.NONE:
        return [(span.start, span.end)]
    found = []
    start = span.start
    for edge in _edges(span):
        if edge >= span.end:
            break
        found.append((start, edge))
        start = edge
    return [*found, (start, span.end)]


def beginning_of_day(moment: datetime, zone: ZoneInfo) -> datetime:
    """When the day of a moment began."""
    return _midnight(moment.astimezone(zone).date(), zone)


def _edges(span: Span) -> Iterator[datetime]:
    """Where steps begin behind the start of the span, for ever."""
    size = _SIZES.get(span.bucket)
    if size is not None:
        edge = _floor(span.start, size, span.zone)
        while True:
            # Where clocks are put back by less than a step, a shorter one ends at the full hour of the new time.
            following = _floor(edge + size, size, span.zone)
            edge = following if following > edge else edge + size
            yield edge
    day = span.start.astimezone(span.zone).date()
    edge = span.start
    while True:
        day = _next_first(day, span.bucket)
        following = _midnight(day, span.zone)
        # Zones that moved across the date line have skipped whole days.
        if following > edge:
            edge = following
            yield edge


def _next_first(day: date, bucket: Bucket) -> date:
    if bucket is Bucket.DAY:
        return day + timedelta(days=1)
    if bucket is Bucket.WEEK:
        return day + timedelta(days=7 - day.weekday())
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """When a day begins. A midnight that clocks skip is the moment at which they do; of two the first counts."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _floor(moment: datetime, size: timedelta, zone: ZoneInfo) -> datetime:
    """The last full minute, quarter or hour of the zone's clocks."""
    local = moment.astimezone(zone).replace(tzinfo=None)
    return moment - (local - _AN_HOUR_BEGINS) % size
