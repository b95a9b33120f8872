"""Bars, time zones and moments: what figures are told with."""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.durations import past, word
from services.cli.output import CommandFailed
from services.cli.sparkline import ASCII, BLOCKS, sparkline
from services.cli.zones import local_zone, zone_of

COUNTS = st.lists(st.integers(0, 10**12), max_size=200)


@given(COUNTS, st.integers(1, 80))
def test_bars_fit_and_leave_nothing_out(counts: list[int], width: int) -> None:
    bars = sparkline(counts, width)
    together = max(1, math.ceil(len(counts) / width))
    assert len(bars) == math.ceil(len(counts) / together) <= width
    for place, bar in enumerate(bars):
        inside = counts[place * together : (place + 1) * together]
        assert (bar == BLOCKS[0]) == (not any(inside))


@given(COUNTS)
def test_a_higher_bar_is_more(counts: list[int]) -> None:
    bars = sparkline(counts, 200, ASCII)
    heights = [ASCII.index(bar) for bar in bars]
    assert all(
        heights[one] <= heights[other]
        for one in range(0, len(counts), 7)
        for other in range(len(counts))
        if counts[one] <= counts[other]
    )
    assert not any(counts) or bars[counts.index(max(counts))] == ASCII[-1]


@pytest.fixture
def zone_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """The zone of a machine whose clocks nobody has set yet; its files are in `tmp_path`."""
    monkeypatch.delenv("TZ", raising=False)
    return lambda: local_zone(tmp_path / "localtime", tmp_path / "timezone")


def test_the_zone_is_utc_where_nobody_says(zone_here: Callable[[], str]) -> None:
    assert zone_here() == "UTC"


def test_the_zone_is_where_the_link_points(zone_here: Callable[[], str], tmp_path: Path) -> None:
    (tmp_path / "localtime").symlink_to("/zones/zoneinfo/posix/America/Lima")
    assert zone_here() == "America/Lima"


def test_the_zone_is_what_the_file_names_when_the_clock_is_a_copy(
    zone_here: Callable[[], str], tmp_path: Path
) -> None:
    (tmp_path / "localtime").write_bytes(b"TZif2")
    (tmp_path / "timezone").write_text("Asia/Kathmandu\n")
    assert zone_here() == "Asia/Kathmandu"


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("America/Lima", "America/Lima"),
        (":America/Lima", "America/Lima"),
        ("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
        ("<-05>5", "UTC"),
        ("", "UTC"),
    ],
)
def test_the_environment_counts_before_the_machine(
    zone_here: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, name: str
) -> None:
    (tmp_path / "timezone").write_text("Asia/Kathmandu\n")
    monkeypatch.setenv("TZ", variable)
    assert zone_here() == name


def test_utc_needs_no_files_of_zones() -> None:
    assert zone_of("UTC") is zone_of("") is UTC


@given(st.integers(0, 2000), st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Pacific/Apia"]))
def test_days_back_are_days_of_the_clocks(days: int, name: str) -> None:
    zone = ZoneInfo(name)
    before = datetime.now(zone).date()
    begin = past(f"{days}d", "--since", zone, datetime.now(UTC))
    after = datetime.now(zone).date()
    assert begin.date() + timedelta(days=days) in (before, after)
    assert (begin.hour, begin.minute, begin.second) == (0, 0, 0)


def test_a_moment_has_its_own_zone_or_the_one_that_was_named() -> None:
    lima, now = ZoneInfo("America/Lima"), datetime.now(UTC)
    assert past("2026-11-01", "--since", lima, now) == datetime(2026, 11, 1, 5, tzinfo=UTC)
    assert past("2026-11-01T08:00Z", "--since", lima, now) == datetime(2026, 11, 1, 8, tzinfo=UTC)
    for wrong in ("", "0x", "7", "-7d", "2026-13-01", "9999999999d", "999999999w"):
        with pytest.raises(CommandFailed):
            past(wrong, "--since", lima, now)


def test_today_and_yesterday_begin_at_midnight_of_the_zone() -> None:
    # Half past four in the night after the clocks of Berlin were set back.
    berlin, now = ZoneInfo("Europe/Berlin"), datetime(2026, 10, 26, 3, 30, tzinfo=UTC)
    assert past("now", "--until", berlin, now) == now
    assert past("Today", "--since", berlin, now) == datetime(2026, 10, 25, 23, tzinfo=UTC)
    assert past("yesterday", "--since", berlin, now) == datetime(2026, 10, 24, 22, tzinfo=UTC)
    assert word("tomorrow", now) is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [("lima", "America/Lima"), ("europe/berlin", "Europe/Berlin"), ("New York", "America/New_York")],
)
def test_a_zone_that_is_nearly_one_is_suggested(name: str, meant: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        zone_of(name)
    assert caught.value.advice == f"Did you mean {meant}?"


def test_a_machine_without_zones_is_told_where_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.cli.zones.available_timezones", set)
    with pytest.raises(CommandFailed) as caught:
        zone_of("Mars/Olympus")
    assert "pip install tzdata" in caught.value.advice
