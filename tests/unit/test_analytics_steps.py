"""Steps in time follow the clocks of their zone."""

import itertools
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.model.steps import Bucket, Span, steps

ZONES = (
    "UTC",
    "America/Lima",
    "America/St_Johns",
    "America/Santiago",
    "Europe/Madrid",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Chatham",
)
SPANS = {
    Bucket.MINUTE: timedelta(hours=3),
    Bucket.QUARTER_HOUR: timedelta(days=2),
    Bucket.HOUR: timedelta(days=4),
    Bucket.DAY: timedelta(days=40),
    Bucket.WEEK: timedelta(days=90),
    Bucket.MONTH: timedelta(days=500),
}


def begins(moment: datetime, zone: ZoneInfo, bucket: Bucket) -> bool:
    """Whether the clocks of the zone begin a step at the moment, or were put forward past its beginning at it."""
    local, before = (
        one.astimezone(zone).replace(tzinfo=None) for one in (moment, moment - timedelta(milliseconds=1))
    )

    def step(clock: datetime) -> object:
        if bucket is Bucket.MINUTE:
            return clock.replace(second=0, microsecond=0)
        if bucket is Bucket.QUARTER_HOUR:
            return clock.replace(minute=clock.minute // 15 * 15, second=0, microsecond=0)
        if bucket is Bucket.HOUR:
            return clock.replace(minute=0, second=0, microsecond=0)
        if bucket is Bucket.DAY:
            return clock.date()
        if bucket is Bucket.WEEK:
            return clock.date().isocalendar()[:2]
        return clock.year, clock.month

    return step(local) != step(before) or local < before


@given(
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    bucket=st.sampled_from([one for one in Bucket if one is not Bucket.NONE]),
    start=st.integers(1_230_768_000, 1_798_761_600),
    share=st.floats(0.001, 1),
)
def test_steps_cover_the_span_without_a_gap_and_begin_as_the_clocks_say(
    zone: ZoneInfo, bucket: Bucket, start: int, share: float
) -> None:
    begin = datetime.fromtimestamp(start, UTC)
    span = Span(begin, begin + SPANS[bucket] * share + timedelta(milliseconds=1), zone, bucket)
    found = steps(span)
    assert found[0][0] == span.start
    assert found[-1][1] == span.end
    assert all(end == following for (_, end), (following, _) in itertools.pairwise(found))
    assert all(step_start < step_end for step_start, step_end in found)
    assert all(begins(step_start, zone, bucket) for step_start, _ in found[1:])


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Madrid", date(2026, 3, 29), 23),
        ("Europe/Madrid", date(2026, 10, 25), 25),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ("Asia/Kathmandu", date(2026, 4, 5), 24),
    ],
)
def test_a_day_is_as_long_as_its_clocks_make_it(zone: str, day: date, hours: float) -> None:
    local = ZoneInfo(zone)
    begin = datetime(day.year, day.month, day.day, tzinfo=local).astimezone(UTC)
    (first, _) = steps(Span(begin, begin + timedelta(days=1.5), local, Bucket.DAY))
    assert first == (begin, begin + timedelta(hours=hours))


def test_a_midnight_that_clocks_skip_is_when_they_do() -> None:
    cairo = ZoneInfo("Africa/Cairo")  # At 2026-04-24 00:00 it is 01:00.
    begin = datetime(2026, 4, 23, 12, tzinfo=UTC)
    found = steps(Span(begin, begin + timedelta(days=2), cairo, Bucket.DAY))
    assert found[0][1] == datetime(2026, 4, 23, 22, tzinfo=UTC)


def test_a_day_that_a_zone_skipped_has_no_step() -> None:
    apia = ZoneInfo("Pacific/Apia")  # Without a 30th of December 2011.
    begin = datetime(2011, 12, 29, 10, tzinfo=UTC)
    found = steps(Span(begin, begin + timedelta(days=2), apia, Bucket.DAY))
    days = [start.astimezone(apia).date().day for start, _ in found]
    assert days == [29, 31]


def test_without_a_bucket_there_is_one_step() -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    span = Span(begin, begin + timedelta(days=400), ZoneInfo("UTC"))
    assert steps(span) == [(span.start, span.end)]
