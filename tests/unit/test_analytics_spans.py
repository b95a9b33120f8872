"""The span of time that a request means, and what it is told when it means none."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.model.steps import MOST_STEPS, Bucket, steps
from services.analytics.usecases.spans import span_of, whole_millis, zone_of
from services.kernel.errors import InvalidArgument
from tests.fakes.analytics_stage import NOW

MOMENTS = st.datetimes(timezones=st.just(UTC))
ZONES = st.sampled_from(["", "UTC", "America/Lima", "Asia/Kathmandu", "Pacific/Kiritimati", "Pacific/Apia"])


def fault(
    start: datetime | None = None,
    end: datetime | None = None,
    zone: str = "",
    bucket: Bucket = Bucket.NONE,
) -> str:
    """The field that is found wrong."""
    with pytest.raises(InvalidArgument) as refused:
        span_of(start, end, zone, bucket, NOW)
    (violation,) = refused.value.violations
    return violation.field


def test_nothing_said_is_the_last_thirty_days_in_utc() -> None:
    span = span_of(None, None, "", Bucket.NONE, NOW)
    assert span.start == datetime(2026, 2, 8, tzinfo=UTC)
    assert span.end == NOW
    assert span.zone.key == "UTC"


def test_the_first_of_thirty_days_begins_as_the_clocks_of_the_zone_say() -> None:
    assert span_of(None, None, "America/Lima", Bucket.DAY, NOW).start == datetime(2026, 2, 8, 5, tzinfo=UTC)
    early = datetime(2026, 3, 10, 3, tzinfo=UTC)
    assert span_of(None, early, "America/Lima", Bucket.DAY, NOW).start == datetime(2026, 2, 7, 5, tzinfo=UTC)


def test_a_missing_start_is_thirty_days_before_the_end() -> None:
    end = datetime(2025, 7, 31, 9, tzinfo=UTC)
    assert span_of(None, end, "", Bucket.NONE, NOW).start == datetime(2025, 7, 1, tzinfo=UTC)


def test_a_missing_end_is_now() -> None:
    now = NOW + timedelta(microseconds=1999)
    span = span_of(NOW, None, "", Bucket.NONE, now)
    assert span.end == NOW + timedelta(milliseconds=1)


def test_times_are_told_in_whole_milliseconds() -> None:
    moment = datetime(2026, 3, 1, 7, 0, 0, 999_999, tzinfo=ZoneInfo("America/Lima"))
    assert whole_millis(moment) == datetime(2026, 3, 1, 12, 0, 0, 999_000, tzinfo=UTC)


@pytest.mark.parametrize("bucket", list(Bucket))
def test_the_last_thirty_days_can_be_told_by_all_steps_but_minutes(bucket: Bucket) -> None:
    if bucket is Bucket.MINUTE:
        assert fault(bucket=bucket) == "span.bucket"
    else:
        assert len(steps(span_of(None, None, "Europe/Madrid", bucket, NOW))) <= MOST_STEPS


@pytest.mark.parametrize(
    "name",
    [
        "America",
        "America/",
        "../etc/passwd",
        "/etc/passwd",
        "america/LIMA ",
        "Mars/Olympus",
        "zone.tab",
        "tzdata.zi",
        "America/__init__.py",
        "UTC\0",
        "UTC\n",
        "\ud800",
        "é",
        ".",
        "..",
        "x" * 64,
        "x/" * 30,
    ],
)
def test_what_is_no_zone_is_refused(name: str) -> None:
    assert fault(zone=name) == "span.time_zone"


@given(st.text(max_size=12))
def test_whatever_a_zone_is_called_it_is_one_or_refused(name: str) -> None:
    try:
        zone = zone_of(name)
    except InvalidArgument:
        return
    assert zone.key == (name or "UTC")


def test_a_span_has_a_length() -> None:
    assert fault(NOW, NOW) == "span.end_time"
    assert fault(NOW, NOW - timedelta(days=1)) == "span.end_time"
    assert fault(NOW, NOW + timedelta(microseconds=999)) == "span.end_time"
    assert span_of(NOW, NOW + timedelta(milliseconds=1), "", Bucket.NONE, NOW).start == NOW


def test_ten_years_can_be_asked_about_at_once() -> None:
    assert len(steps(span_of(NOW - timedelta(days=3660), NOW, "", Bucket.MONTH, NOW))) == 121
    assert fault(NOW - timedelta(days=3660, milliseconds=1), NOW) == "span.start_time"


def test_too_many_steps_are_refused() -> None:
    assert fault(NOW - timedelta(days=200), NOW, bucket=Bucket.HOUR) == "span.bucket"
    assert fault(NOW - timedelta(days=40), NOW, bucket=Bucket.QUARTER_HOUR) == "span.bucket"
    assert fault(NOW - timedelta(days=3660), NOW, bucket=Bucket.DAY) == "span.bucket"


def test_minutes_are_told_of_the_last_three_days() -> None:
    three = NOW - timedelta(days=3)
    assert len(steps(span_of(three, three + timedelta(days=2), "", Bucket.MINUTE, NOW))) == 2880
    early = three - timedelta(milliseconds=1)
    assert fault(early, early + timedelta(hours=1), bucket=Bucket.MINUTE) == "span.bucket"


@pytest.mark.parametrize("year", [1, 1969, 2200, 9999])
def test_other_ages_are_refused(year: int) -> None:
    moment = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert fault(end=moment) == "span.end_time"
    assert fault(start=moment, end=NOW) == "span.start_time"


@given(st.none() | MOMENTS, st.none() | MOMENTS, ZONES, st.sampled_from(list(Bucket)))
def test_whatever_times_are_asked_about_there_are_steps_or_a_fault(
    start: datetime | None, end: datetime | None, zone: str, bucket: Bucket
) -> None:
    try:
        span = span_of(start, end, zone, bucket, NOW)
    except InvalidArgument:
        return
    assert 1 <= len(steps(span)) <= MOST_STEPS


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    st.timedeltas(timedelta(milliseconds=1), timedelta(days=3660)),
    ZONES,
    st.sampled_from([Bucket.DAY, Bucket.WEEK, Bucket.MONTH]),
)
def test_every_span_of_this_age_has_steps_or_too_many(
    start: datetime, length: timedelta, zone: str, bucket: Bucket
) -> None:
    try:
        span = span_of(start, start + length, zone, bucket, NOW)
    except InvalidArgument:
        # Too many steps, or an end in another age.
        return
    assert 1 <= len(steps(span)) <= MOST_STEPS
