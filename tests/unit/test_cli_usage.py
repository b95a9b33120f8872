"""`usage`: what it asks for, and what it prints in a pipe and for a program."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import grpc
import pytest
from antiphon.analytics.v1 import analytics_pb2
from typer.testing import CliRunner, Result

from services.cli.figures import all_columns
from services.cli.program import program
from tests.scripted_server import failing
from tests.scripted_usage import ScriptedUsage, figures, share, steps, three_days

Antiphon = Callable[..., Result]
STRANGER = "0198c5a2-0000-7000-8000-0000000000ff"
NEEDS_ADMIN = failing(
    grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED", "administrators alone", role="admin"
)


@pytest.fixture
def server() -> Iterator[ScriptedUsage]:
    with ScriptedUsage() as scripted:
        yield scripted


@pytest.fixture
def antiphon(server: ScriptedUsage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Antiphon:
    """Runs a command with an API key, in a pipe, in Lima."""
    monkeypatch.setenv("ANTIPHON_SERVER", server.address)
    monkeypatch.setenv("ANTIPHON_TOKEN", "ak_abc_secret")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "America/Lima")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(program(list(arguments)), list(arguments), prog_name="antiphon")

    return run


def rows(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.stderr
    return [line.split("\t") for line in result.stdout.splitlines()]


def refused(result: Result, *texts: str, status: int = 1) -> None:
    assert result.exit_code == status, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    for text in texts:
        assert text in result.stderr


def sent(server: ScriptedUsage, method: str) -> Any:
    return server.of(method)[-1].request


def test_one_s_own_figures_are_lines_that_say_what_they_are_of(
    antiphon: Antiphon, server: ScriptedUsage
) -> None:
    server.answers["GetUserAnalytics"] = three_days()
    told = antiphon("usage", "--zone", "UTC")
    assert [row[:3] for row in rows(told)] == [
        ["total", "", "5"],
        ["service", "llm_chat", "5"],
        ["model", "echo", "4"],
        ["model", "flux", "1"],
        ["day", "2026-11-01", "4"],
        ["day", "2026-11-02", "0"],
        ["day", "2026-11-03", "1"],
    ]
    named = dict(zip([each.header for each in all_columns()], rows(told)[0][2:], strict=False))
    assert (named["DONE"], named["FAILED"], named["INPUT"], named["OUTPUT"]) == ("4", "1", "700", "1400")
    assert (named["COST"], named["UNPRICED"]) == ("0.0021", "1")


def test_a_missing_price_is_no_zero_and_is_told_with_the_way_to_one(
    antiphon: Antiphon, server: ScriptedUsage
) -> None:
    server.answers["GetUserAnalytics"] = three_days()
    told = antiphon("usage", "--by", "model")
    place = [each.header for each in all_columns()].index("COST") + 1
    assert {row[0]: row[place] for row in rows(told)} == {"echo": "0.0021", "flux": ""}
    assert "1 call has no price" in told.stderr
    assert "flux" in told.stderr
    assert "antiphon prices set MODEL UNIT USD" in told.stderr


def test_the_span_is_that_of_this_machine_s_clocks(antiphon: Antiphon, server: ScriptedUsage) -> None:
    antiphon("usage", "--since", "2026-11-01", "--until", "2026-11-03T12:00", "--bucket", "hour")
    span = sent(server, "GetUserAnalytics").span
    assert span.start_time.ToDatetime(UTC) == datetime(2026, 11, 1, 5, tzinfo=UTC)
    assert span.end_time.ToDatetime(UTC) == datetime(2026, 11, 3, 17, tzinfo=UTC)
    assert (span.time_zone, span.bucket) == ("America/Lima", analytics_pb2.BUCKET_HOUR)


@pytest.mark.parametrize("name", ["UTC", "Asia/Kathmandu", "Europe/Berlin"])
def test_days_back_begin_at_midnight_of_the_zone(
    antiphon: Antiphon, server: ScriptedUsage, name: str
) -> None:
    before = datetime.now(ZoneInfo(name)).date()
    antiphon("usage", "--since", "7d", "--zone", name)
    after = datetime.now(ZoneInfo(name)).date()
    span = sent(server, "GetUserAnalytics").span
    begin = span.start_time.ToDatetime(UTC).astimezone(ZoneInfo(name))
    assert (begin.hour, begin.minute, begin.second) == (0, 0, 0)
    assert begin.date() + timedelta(days=7) in (before, after)
    assert not span.HasField("end_time")


def test_hours_back_are_counted_from_now(antiphon: Antiphon, server: ScriptedUsage) -> None:
    antiphon("usage", "--since", "12h")
    begin = sent(server, "GetUserAnalytics").span.start_time.ToDatetime(UTC)
    assert timedelta() <= datetime.now(UTC) - timedelta(hours=12) - begin < timedelta(minutes=1)


def test_steps_shorter_than_a_day_name_their_distance_from_utc(
    antiphon: Antiphon, server: ScriptedUsage
) -> None:
    # The clocks of New York show one o'clock twice that night.
    server.answers["GetUserAnalytics"] = analytics_pb2.GetUserAnalyticsResponse(
        steps=steps([figures(), figures()], datetime(2026, 11, 1, 5, tzinfo=UTC), timedelta(hours=1))
    )
    told = rows(antiphon("usage", "--bucket", "hour", "--zone", "America/New_York"))
    assert [row[1] for row in told if row[0] == "hour"] == [
        "2026-11-01T01:00-04:00",
        "2026-11-01T01:00-05:00",
    ]


def test_json_is_the_answer_itself(antiphon: Antiphon, server: ScriptedUsage) -> None:
    server.answers["GetUserAnalytics"] = three_days()
    told = json.loads(antiphon("usage", "--json", "--zone", "UTC").stdout)
    assert told["totals"]["costNanoUsd"] == "2100000"
    assert told["models"][1]["name"] == "flux"
    assert "costNanoUsd" not in told["models"][1]["figures"]
    assert told["span"]["timeZone"] == "UTC"


def test_an_administrator_sees_people_by_their_e_mails(antiphon: Antiphon, server: ScriptedUsage) -> None:
    ana = server.add_user("ana@example.com")
    server.answers["GetSystemAnalytics"] = analytics_pb2.GetSystemAnalyticsResponse(
        totals=figures(9),
        top_models=[share("echo", figures(9))],
        top_users=[share(ana.user_id, figures(5)), share(STRANGER, figures(3)), share("", figures(1))],
    )
    told = rows(antiphon("usage", "--system", "--limit", "3"))
    assert [row[1] for row in told if row[0] == "user"] == ["ana@example.com", STRANGER, ""]
    assert sent(server, "GetSystemAnalytics").top == 3
    assert len(server.of("GetUser")) == 2


def test_ids_do_where_people_can_t_be_looked_up(antiphon: Antiphon, server: ScriptedUsage) -> None:
    ids = [STRANGER, STRANGER.replace("ff", "fe")]
    server.fail("GetUser", NEEDS_ADMIN)
    server.answers["GetSystemAnalytics"] = analytics_pb2.GetSystemAnalyticsResponse(
        top_users=[share(each, figures()) for each in ids]
    )
    assert [row[1] for row in rows(antiphon("usage", "--system")) if row[0] == "user"] == ids
    assert len(server.of("GetUser")) == 1


def test_an_administrator_tells_apart_by_three_dimensions(antiphon: Antiphon, server: ScriptedUsage) -> None:
    ana = server.add_user("ana@example.com")
    groups = [
        analytics_pb2.UsageGroup(values=[ana.user_id, "echo", "success"], figures=figures(5)),
        analytics_pb2.UsageGroup(values=["", "flux", "error"], figures=figures(2)),
    ]
    server.answers["QueryUsage"] = analytics_pb2.QueryUsageResponse(
        totals=figures(9), groups=groups, more_groups=True
    )
    told = antiphon("usage", "--system", "--by", "user", "--by", "model", "--by", "status", "--limit", "2")
    assert [row[:4] for row in rows(told)] == [
        ["ana@example.com", "echo", "success", "5"],
        ["", "flux", "error", "2"],
    ]
    assert "--limit" in told.stderr
    request = sent(server, "QueryUsage")
    assert list(request.group_by) == [
        analytics_pb2.DIMENSION_USER,
        analytics_pb2.DIMENSION_MODEL,
        analytics_pb2.DIMENSION_STATUS,
    ]
    assert (request.limit, request.span.bucket) == (2, analytics_pb2.BUCKET_UNSPECIFIED)


def test_groups_over_time_have_a_line_for_each_step(antiphon: Antiphon, server: ScriptedUsage) -> None:
    group = analytics_pb2.UsageGroup(
        values=["sky"], figures=figures(3), steps=steps([figures(1), figures(2)])
    )
    server.answers["QueryUsage"] = analytics_pb2.QueryUsageResponse(groups=[group])
    told = antiphon("usage", "--system", "--by", "project", "--bucket", "day", "--zone", "UTC")
    assert [row[:3] for row in rows(told)] == [["sky", "2026-11-01", "1"], ["sky", "2026-11-02", "2"]]


def test_another_person_s_figures_are_asked_for_by_their_e_mail(
    antiphon: Antiphon, server: ScriptedUsage
) -> None:
    ana = server.add_user("ana@example.com")
    antiphon("usage", "--user", "Ana@Example.com")
    assert sent(server, "GetUserAnalytics").user_id == ana.user_id
    antiphon("usage", "--user", ana.user_id, "--by", "operation")
    assert list(sent(server, "QueryUsage").filter.user_ids) == [ana.user_id]


def test_several_things_may_be_told_apart_by_one_option(antiphon: Antiphon, server: ScriptedUsage) -> None:
    rows(antiphon("usage", "--system", "--by", "user,Model", "--by", "status,user"))
    assert list(sent(server, "QueryUsage").group_by) == [
        analytics_pb2.DIMENSION_USER,
        analytics_pb2.DIMENSION_MODEL,
        analytics_pb2.DIMENSION_STATUS,
    ]


@pytest.mark.parametrize("by_id", [True, False])
def test_people_may_name_themselves(antiphon: Antiphon, server: ScriptedUsage, by_id: bool) -> None:
    me = server.me = server.add_user("bo@example.com")
    for method in ("ListUsers", "QueryUsage"):
        server.fail(method, *[NEEDS_ADMIN] * 3)
    server.answers["GetUserAnalytics"] = three_days()
    named = me.user_id.upper() if by_id else "Bo@Example.com"
    rows(antiphon("usage", "--user", named))
    assert [row[0] for row in rows(antiphon("usage", "--user", named, "--by", "model"))] == ["echo", "flux"]
    refused(antiphon("usage", "--user", named, "--by", "project"), "by model or by service", status=2)


def test_another_person_stays_another_s(antiphon: Antiphon, server: ScriptedUsage) -> None:
    server.me = server.add_user("bo@example.com")
    server.fail("ListUsers", NEEDS_ADMIN)
    server.fail("QueryUsage", NEEDS_ADMIN)
    refused(antiphon("usage", "--user", "ana@example.com"), "administrators alone")
    refused(antiphon("usage", "--user", STRANGER, "--by", "model"), "administrators alone")


def test_a_server_without_auth_asks_for_the_id(antiphon: Antiphon, server: ScriptedUsage) -> None:
    elsewhere = failing(grpc.StatusCode.UNIMPLEMENTED, "", "unknown service")
    server.fail("ListUsers", elsewhere)
    refused(antiphon("usage", "--user", "ana@example.com"), "Name the person by id")
    server.fail("GetUserAnalytics", elsewhere)
    refused(antiphon("usage"), "$(antiphon token --server AUTH) antiphon usage --server ANALYTICS")


def test_every_dimension_and_bucket_of_the_contract_can_be_typed(
    antiphon: Antiphon, server: ScriptedUsage
) -> None:
    words = (
        "service",
        "operation",
        "model",
        "provider",
        "project",
        "status",
        "error",
        "user",
        "key",
        "variant",
    )
    for word in (*words, "provenance"):
        rows(antiphon("usage", "--system", "--by", word))
    asked = [seen.request.group_by[0] for seen in server.of("QueryUsage")]  # type: ignore[attr-defined]
    assert asked == [number for number in analytics_pb2.Dimension.values() if number]
    for word in ("none", "minute", "quarter", "hour", "day", "week", "month"):
        rows(antiphon("usage", "--bucket", word))
    spans = [seen.request.span.bucket for seen in server.of("GetUserAnalytics")]  # type: ignore[attr-defined]
    assert spans == analytics_pb2.Bucket.values()


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (("--by", "project"), ("by model or by service", "--system")),
        (("--by", "model", "--by", "service"), ("one at a time",)),
        (("--by", "model", "--bucket", "day"), ("--bucket",)),
        (("--system", "--user", "ana@example.com"), ("exclude each other",)),
        (("--system", "--by", "model", "--by", "user", "--by", "status", "--by", "key"), ("three times",)),
        (("--by", "colour"), ("colour",)),
        (("--by", "modl"), ("--by: 'modl' is none of", "Did you mean model?")),
        (("--by", "model,service"), ("one at a time",)),
        (("--bucket", "dya"), ("--bucket: 'dya' is none of", "Did you mean day?")),
        (("--since", ""), ("--since is empty",)),
        (("--until", " "), ("--until is empty",)),
        (("--zone", ""), ("--zone is empty",)),
        (("--since", "0"), ("nothing lies between",)),
        (("--since", "now"), ("nothing lies between",)),
        (("--since", "yesterweek"), ("--since", "7d")),
        (("--since", "2026-11-02", "--until", "2026-11-01"), ("nothing lies between",)),
        (("--since", "2999-01-01"), ("nothing lies between",)),
        (("--since", "999999999w"), ("--since",)),
        (("--since", "0001-01-01", "--zone", "Asia/Tokyo"), ("--since",)),
        (("--zone", "Mars/Olympus"), ("Mars/Olympus", "America/Lima")),
        (("--zone", "../../etc/passwd"), ("no time zone",)),
        (("--limit", "0"), ("--limit",)),
        (("reconcle",), ("No such command 'reconcle'", "reconcile")),
        (("7d",), ("No such command '7d'",)),
        (("--since", "7d", "export"), ("antiphon usage export",)),
        (("--since", "7d", "bogus"), ("bogus",)),
    ],
)
def test_what_is_written_wrongly_reaches_no_server(
    antiphon: Antiphon, server: ScriptedUsage, arguments: tuple[str, ...], texts: tuple[str, ...]
) -> None:
    refused(antiphon("usage", *arguments), *texts, status=2)
    assert "Value error" not in antiphon("usage", *arguments).stderr
    error = json.loads(antiphon("usage", *arguments, "--json").stderr)["error"]
    assert (error["code"], error["reason"]) == ("INVALID_ARGUMENT", "USAGE")
    assert server.calls == []


def test_who_may_not_is_told_why(antiphon: Antiphon, server: ScriptedUsage) -> None:
    server.fail("GetSystemAnalytics", NEEDS_ADMIN)
    refused(antiphon("usage", "--system"), "administrators alone", "It takes the role admin")
    unknown = failing(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_ARGUMENT",
        "time_zone: is not known",
        violations=[("span.time_zone", "is not known")],
    )
    server.fail("GetUserAnalytics", unknown)
    refused(antiphon("usage"), "--zone: is not known")


def test_the_command_that_was_called_is_imported_alone() -> None:
    code = "import sys; from services.cli.program import program; program(['usage', '--since', '7d']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "services.cli.usage" in imported
    assert imported.isdisjoint({"services.cli.usage_reconcile", "services.cli.prices", "services.cli.chats"})
    assert imported.isdisjoint({"antiphon_client", "grpc", "antiphon.analytics.v1.analytics_pb2"})
