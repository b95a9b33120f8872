"""`usage watch`, `export`, `reconcile` and `rejected`: what they print and write, and how they end."""

import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from antiphon.analytics.v1 import analytics_pb2
from antiphon.usage.v1 import usage_pb2
from typer.testing import CliRunner, Result

from services.cli.program import program
from tests.e2e.suite_process import environment
from tests.e2e.terminal import Terminal
from tests.scripted_server import BROKEN, failing, until_the_caller_leaves
from tests.scripted_usage import START, ScriptedUsage, figures

Antiphon = Callable[..., Result]
ENDED = failing(grpc.StatusCode.PERMISSION_DENIED, "SCOPE_REQUIRED", "no more", scope="analytics.self")
CSV, JSON_LINES = analytics_pb2.EXPORT_FORMAT_CSV, analytics_pb2.EXPORT_FORMAT_JSON_LINES


@pytest.fixture
def server() -> Iterator[ScriptedUsage]:
    with ScriptedUsage() as scripted:
        yield scripted


@pytest.fixture
def outside(server: ScriptedUsage, tmp_path: Path) -> Mapping[str, str]:
    """What surrounds a process of the command line."""
    return environment(tmp_path / "home") | {
        "ANTIPHON_SERVER": server.address,
        "ANTIPHON_TOKEN": "ak_abc_secret",
        "TZ": "UTC",
    }


@pytest.fixture
def antiphon(outside: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Antiphon:
    """Runs a command with an API key, in a pipe."""
    for name in ("ANTIPHON_SERVER", "ANTIPHON_TOKEN", "XDG_CONFIG_HOME", "TZ"):
        monkeypatch.setenv(name, outside[name])

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(program(list(arguments)), list(arguments), prog_name="antiphon")

    return run


def sent(server: ScriptedUsage, method: str) -> Any:
    return server.of(method)[-1].request


def watched(calls: int) -> analytics_pb2.WatchUsageResponse:
    return analytics_pb2.WatchUsageResponse(
        start_time=START, read_time=START + timedelta(hours=calls), figures=figures(calls, tokens=5, cost=7)
    )


def chunk(text: str) -> analytics_pb2.ExportEventsResponse:
    return analytics_pb2.ExportEventsResponse(chunk=text.encode())


def tally(calls: int, tokens: int) -> analytics_pb2.Tally:
    used = [usage_pb2.Quantity(unit=usage_pb2.UNIT_INPUT_TOKENS, amount=tokens)]
    return analytics_pb2.Tally(event_count=calls, quantities=used)


def test_a_watch_has_a_line_for_each_change(antiphon: Antiphon, server: ScriptedUsage) -> None:
    server.plays.append([watched(1), watched(1), watched(2), BROKEN])
    server.plays.append([watched(2), watched(3), ENDED])
    told = antiphon("usage", "watch", "--since", "2026-11-01")
    assert told.exit_code == 1
    lines = [line.split("\t")[:2] for line in told.stdout.splitlines()]
    assert lines == [[f"2026-11-01T0{number}:00:00+00:00", str(number)] for number in (1, 2, 3)]
    assert told.stderr.splitlines()[:2] == [
        "(the connection was lost; it is sought again …)",
        "(connected again)",
    ]
    assert "analytics.self" in told.stderr
    assert sent(server, "WatchUsage").start_time.ToDatetime(UTC) == START


def test_a_watch_tells_programs_in_json(antiphon: Antiphon, server: ScriptedUsage) -> None:
    server.plays += ([watched(1), BROKEN], [watched(1), watched(2), ENDED])
    told = antiphon("usage", "watch", "--json")
    found = [json.loads(line)["figures"]["eventCount"] for line in told.stdout.splitlines()]
    assert found == ["1", "2"]
    lost, again, failed = map(json.loads, told.stderr.splitlines())
    assert (lost, again["note"]) == (
        {"note": "(the connection was lost; it is sought again …)"},
        "(connected again)",
    )
    assert failed["error"]["reason"] == "SCOPE_REQUIRED"


def test_a_watch_at_a_terminal_draws_the_line_again_when_it_is_connected_again(
    outside: Mapping[str, str], server: ScriptedUsage
) -> None:
    server.plays += ([watched(1), BROKEN], [watched(1), until_the_caller_leaves])
    with Terminal(outside, "usage", "watch") as terminal:
        terminal.wait_for("sought again …)\n\r01:00:00  since 00:00: 1 call")
        assert terminal.ended("\x03") == 130


def test_a_watch_at_a_terminal_is_one_line_that_ctrl_c_ends(
    outside: Mapping[str, str], server: ScriptedUsage
) -> None:
    server.plays.append([watched(1), watched(2), until_the_caller_leaves])
    with Terminal(outside, "usage", "watch") as terminal:
        terminal.wait_for("2 calls")
        assert terminal.ended("\x03") == 130
    assert "\r01:00:00  since 00:00: 1 call, 5 input tokens, 10 output tokens, $0.000000007" in terminal.shown
    assert "Traceback" not in terminal.shown
    assert server.of("WatchUsage")[0].ended.wait(10)


def test_an_export_is_what_the_server_sent(antiphon: Antiphon, server: ScriptedUsage) -> None:
    server.plays.append([chunk("a,b\r\n"), chunk("1,é\r\n")])
    told = antiphon("usage", "export", "--since", "2026-11-01")
    assert (told.exit_code, told.stdout_bytes) == (0, "a,b\r\n1,é\r\n".encode())
    request = sent(server, "ExportEvents")
    assert (request.format, request.all_users, request.user_id) == (CSV, False, "")
    assert request.start_time.ToDatetime(UTC) == START


@pytest.mark.parametrize("arguments", [("--format", "jsonl"), ("--json",)])
def test_programs_get_json_lines(
    antiphon: Antiphon, server: ScriptedUsage, arguments: tuple[str, ...]
) -> None:
    antiphon("usage", "export", "--all", *arguments)
    assert (sent(server, "ExportEvents").format, sent(server, "ExportEvents").all_users) == (JSON_LINES, True)


def test_an_exported_file_is_one_s_own_and_replaces_none(
    antiphon: Antiphon, server: ScriptedUsage, tmp_path: Path
) -> None:
    file = tmp_path / "calls.csv"
    server.plays += ([chunk("a\r\n")], [chunk("b\r\n")])
    done = antiphon("usage", "export", "-o", str(file))
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == f"0 events are in {file} (3 bytes)\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    refused = antiphon("usage", "export", "-o", str(file))
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert len(server.calls) == 1
    assert file.read_bytes() == b"a\r\n"
    assert antiphon("usage", "export", "-o", str(file), "--force").exit_code == 0
    assert file.read_bytes() == b"b\r\n"


def test_an_export_that_breaks_off_leaves_no_file(
    antiphon: Antiphon, server: ScriptedUsage, tmp_path: Path
) -> None:
    server.plays += ([chunk("a\r\n"), BROKEN], [chunk("b\r\n")])
    told = antiphon("usage", "export", "-o", str(tmp_path / "calls.csv"))
    assert told.exit_code == 1
    assert told.stderr.startswith("antiphon: the export broke off after 3 bytes: ")
    assert "No file was made. It can't be gone on with: start it again." in told.stderr
    assert [each for each in os.listdir(tmp_path) if "calls" in each] == []
    assert "exclude each other" in antiphon("usage", "export", "--all", "--user", "a@example.com").stderr


def test_an_export_that_breaks_off_in_a_pipe_says_that_it_is_not_whole(
    antiphon: Antiphon, server: ScriptedUsage
) -> None:
    server.plays.append([chunk("a\r\n"), ENDED])
    told = antiphon("usage", "export", "--json")
    error = json.loads(told.stderr)["error"]
    assert (told.exit_code, told.stdout_bytes) == (1, b"a\r\n")
    assert (error["code"], error["reason"]) == ("PERMISSION_DENIED", "SCOPE_REQUIRED")
    assert "standard output is not whole" in error["advice"]


@pytest.mark.parametrize(
    ("form", "chunks", "told"),
    [
        ("csv", ['model\r\nm\r\n"a\r\n""b"""\r\n', "m\r\n"], "3 events are"),
        ("csv", ["model\r\nm\r\n"], "1 event is"),
        ("jsonl", ['{"a": 1}\n{"b": "\\""}\n'], "2 events are"),
        ("JSONL", [], "0 events are"),
    ],
)
def test_an_export_says_how_many_events_it_has(
    antiphon: Antiphon, server: ScriptedUsage, tmp_path: Path, form: str, chunks: list[str], told: str
) -> None:
    server.plays.append(list(map(chunk, chunks)))
    done = antiphon("usage", "export", "--format", form, "-o", str(tmp_path / "calls"))
    assert done.stderr.startswith(f"{told} in {tmp_path / 'calls'} (")


def test_a_terminal_is_not_steered_by_what_callers_named(
    outside: Mapping[str, str], server: ScriptedUsage
) -> None:
    server.plays.append([chunk("project\r\n\x1b[31mred é\r\n")])
    with Terminal(outside, "usage", "export") as terminal:
        assert terminal.ended() == 0
    assert terminal.shown == "project\n[31mred é\n"


def test_balanced_books_end_well(antiphon: Antiphon, server: ScriptedUsage) -> None:
    balance = analytics_pb2.ServiceBalance(
        service_type=usage_pb2.SERVICE_TYPE_LLM_CHAT,
        balanced=True,
        service_event_count=1234,
        event_count=1234,
        figure_event_count=1234,
        pending_event_count=5,
    )
    server.answers["Reconcile"] = analytics_pb2.ReconcileResponse(services=[balance])
    told = antiphon("usage", "reconcile", "--since", "2026-11-01")
    assert (told.exit_code, told.stderr) == (0, "")
    assert told.stdout.splitlines() == ["balance\tllm_chat\tbalanced\t1234\t1234\t1234\t5\t"]
    request = sent(server, "Reconcile")
    assert (request.repair, request.start_time.ToDatetime(UTC)) == (False, START)


def differing(note: str = "") -> analytics_pb2.ReconcileResponse:
    difference = analytics_pb2.Difference(
        user_id="0198c5a2-0000-7000-8000-0000000000ff",
        model="echo",
        status=usage_pb2.USAGE_STATUS_SUCCESS,
        service=tally(12, 340),
        events=tally(11, 320),
        figures=tally(1, 20),
    )
    balance = analytics_pb2.ServiceBalance(
        service_type=usage_pb2.SERVICE_TYPE_LLM_CHAT, differences=[difference], note=note
    )
    return analytics_pb2.ReconcileResponse(services=[balance])


def test_books_that_differ_are_told_with_the_way_to_mend_them(
    antiphon: Antiphon, server: ScriptedUsage
) -> None:
    server.answers["Reconcile"] = differing()
    told = antiphon("usage", "reconcile")
    assert told.exit_code == 1
    assert "antiphon usage reconcile --repair" in told.stderr
    assert told.stdout.splitlines()[1].split("\t") == [
        "difference",
        "llm_chat",
        "echo",
        "success",
        "0198c5a2-0000-7000-8000-0000000000ff",
        "12 calls, 340 input tokens",
        "11 calls, 320 input tokens",
        "1 call, 20 input tokens",
    ]


def test_what_a_repair_leaves_is_a_failure_too(antiphon: Antiphon, server: ScriptedUsage) -> None:
    server.answers["Reconcile"] = differing(note="the service can't be asked")
    told = antiphon("usage", "reconcile", "--repair", "--json")
    assert told.exit_code == 1
    assert json.loads(told.stdout)["services"][0]["note"] == "the service can't be asked"
    assert json.loads(told.stderr)["error"]["reason"] == "BOOKS_DIFFER"
    assert sent(server, "Reconcile").repair
    running = failing(grpc.StatusCode.ABORTED, "RECONCILE_RUNNING", "another repair is at work")
    server.fail("Reconcile", running)
    assert "Try again when it is done." in antiphon("usage", "reconcile", "--repair").stderr


def test_nothing_that_was_compared_is_no_balance(antiphon: Antiphon) -> None:
    told = antiphon("usage", "reconcile")
    assert (told.exit_code, told.stdout) == (1, "")
    assert "no service" in told.stderr
    assert "ANTIPHON_PEERS__CHAT=host:port" in told.stderr


def test_people_whose_books_differ_are_shown_by_their_e_mails(
    antiphon: Antiphon, server: ScriptedUsage
) -> None:
    found = differing()
    found.services[0].differences[0].user_id = server.add_user("ana@example.com").user_id
    server.answers["Reconcile"] = found
    assert antiphon("usage", "reconcile").stdout.splitlines()[1].split("\t")[4] == "ana@example.com"


def test_a_terminal_is_told_that_books_are_compared(
    outside: Mapping[str, str], server: ScriptedUsage
) -> None:
    with Terminal(outside, "usage", "reconcile") as terminal:
        assert terminal.ended() == 1
    assert terminal.shown.startswith("(comparing …)\n")


def test_rejected_events_say_what_is_wrong_with_them(antiphon: Antiphon, server: ScriptedUsage) -> None:
    for number in range(150):
        server.rejected.append(
            analytics_pb2.RejectedEvent(
                source="chat",
                event=usage_pb2.UsageEvent(event_id=str(number)),
                violations=[analytics_pb2.FieldViolation(field="model", description="is too\tlong")],
                receive_time=START,
                receive_count=3,
            )
        )
    told = antiphon("usage", "rejected", "--limit", "120")
    assert len(told.stdout.splitlines()) == 120
    assert told.stdout.splitlines()[0].split("\t")[1:] == ["chat", "0", "3", "model: is too long"]
    assert len(json.loads(antiphon("usage", "rejected", "--json").stdout)["rejectedEvents"]) == 100
    server.rejected.clear()
    assert "no event was rejected" in antiphon("usage", "rejected").stderr
