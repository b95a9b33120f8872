"""`usage` at a terminal: a summary, bars and tables, wide and narrow."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from antiphon.analytics.v1 import analytics_pb2
from antiphon.usage.v1 import usage_pb2

from tests.e2e.suite_process import environment
from tests.e2e.terminal import Terminal
from tests.scripted_usage import START, ScriptedUsage, figures, share, steps, three_days


@pytest.fixture
def server() -> Iterator[ScriptedUsage]:
    with ScriptedUsage() as scripted:
        yield scripted


@pytest.fixture
def outside(server: ScriptedUsage, tmp_path: Path) -> Mapping[str, str]:
    """What surrounds a process of the command line."""
    return environment(tmp_path) | {
        "ANTIPHON_SERVER": server.address,
        "ANTIPHON_TOKEN": "ak_abc_secret",
        "TZ": "America/Lima",
    }


def test_a_terminal_shows_a_summary_bars_and_a_table(
    outside: Mapping[str, str], server: ScriptedUsage
) -> None:
    server.answers["GetUserAnalytics"] = three_days()
    with Terminal(outside, "usage", "--zone", "UTC", columns=100) as terminal:
        assert terminal.ended() == 0
    assert "time             2026-11-01 00:00 to 2026-12-01 00:00 (UTC)" in terminal.shown
    assert "calls            5 (4 done, 1 failed)" in terminal.shown
    assert "cost             ≥ $0.0021 (1 call has no price)" in terminal.shown
    assert "latency          p50 1.5 s, p90 3.0 s, p99 4.5 s" in terminal.shown
    assert "first piece      p50 150 ms, p90 300 ms, p99 450 ms" in terminal.shown
    assert "calls over time  █▁▃" in terminal.shown
    assert "2026-11-02  " not in terminal.shown, "a day without calls takes a line"
    assert [line.split()[1:4] for line in terminal.shown.splitlines() if line.startswith("2026-11")] == [
        ["4", "700", "1,400"],
        ["1", "–"],
    ]


def test_a_narrow_terminal_without_signs_is_told_all_of_it(
    outside: Mapping[str, str], server: ScriptedUsage
) -> None:
    server.answers["GetUserAnalytics"] = three_days()
    plain = dict(outside) | {"PYTHONIOENCODING": "ascii"}
    with Terminal(plain, "usage", "--by", "model", columns=24) as terminal:
        assert terminal.ended() == 0
    assert ">= $0.0021" in terminal.shown
    assert "flux\n  calls: 1\n  cost: -\n" in terminal.shown


def test_a_terminal_without_calls_says_so(outside: Mapping[str, str], server: ScriptedUsage) -> None:
    server.answers["GetUserAnalytics"] = analytics_pb2.GetUserAnalyticsResponse(
        totals=figures(0, cost=0), steps=steps([figures(0, cost=0)] * 3)
    )
    with Terminal(outside, "usage", "--zone", "UTC") as terminal:
        assert terminal.ended() == 0
    assert [line.split() for line in terminal.shown.splitlines()][1:] == [["calls", "0"]]


def test_units_of_later_versions_are_told_by_their_number(
    outside: Mapping[str, str], server: ScriptedUsage
) -> None:
    totals = figures(1, cost=0)
    totals.quantities.add(unit=usage_pb2.UNIT_AUDIO_MILLISECONDS, amount=3_661_001)
    totals.quantities.add(unit=77, amount=5)
    server.answers["GetUserAnalytics"] = analytics_pb2.GetUserAnalyticsResponse(totals=totals)
    with Terminal(outside, "usage", "--since", START.isoformat()) as terminal:
        assert terminal.ended() == 0
    assert "audio       1:01:02" in terminal.shown
    assert "of unit 77  5" in terminal.shown


def test_an_administrator_sees_models_and_people(outside: Mapping[str, str], server: ScriptedUsage) -> None:
    ana = server.add_user("ana@example.com")
    server.answers["GetSystemAnalytics"] = analytics_pb2.GetSystemAnalyticsResponse(
        totals=figures(9, cost=0),
        user_count=1,
        rejected_event_count=2,
        top_models=[share("echo", figures(9, cost=0))],
        top_users=[share(ana.user_id, figures(5, cost=0)), share("", figures(4, cost=0))],
        steps=steps([figures(9, cost=0)] * 2),
    )
    with Terminal(outside, "usage", "--system", columns=60) as terminal:
        assert terminal.ended() == 0
    assert "people           1" in terminal.shown
    assert "rejected         2 bad events: antiphon usage rejected" in terminal.shown
    last = [line.split("  ")[0] for line in terminal.shown.splitlines()[-2:]]
    assert last == ["ana@example.com", "(anonymous or deleted)"]
    assert "2026-11-01  " not in terminal.shown.partition("MODEL")[2], "a table of days nobody asked for"
