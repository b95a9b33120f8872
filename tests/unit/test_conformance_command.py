"""`python -m conformance` says what it does not play, and how far it has come."""

from __future__ import annotations

import io
import sys

import pytest

from conformance.__main__ import main
from conformance.driver.progress import Progress
from conformance.driver.table import Outcome


class Terminal(io.StringIO):
    """What somebody looks at."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--case", "resume/", "--case", "doesnotexist"], "no case has 'doesnotexist' in its name; --list"),
        (["--list", "--case", "doesnotexist"], "no case has 'doesnotexist' in its name; --list"),
        (["python", "--case", "tls/wrong-name"], "1 case is played with --tls only"),
        (["python", "--tls", "--case", "images/flipped"], "1 case is played without --tls only"),
    ],
)
def test_names_that_leave_nothing_to_play_are_told(
    arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["conformance", *arguments])
    assert main() == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--at-once", "0"], ["--at-once", "-1"], ["--at-once", "x"], ["cobol"]]
)
def test_arguments_that_say_nothing_are_refused(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["conformance", *arguments])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert arguments[-1] in capsys.readouterr().err


def test_the_list_says_which_round_leaves_a_case_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["conformance", "--list"])
    assert main() == 0
    listed = {line.partition(":")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert listed["tls/wrong-name"].endswith(" (with --tls only)")
    assert listed["images/flipped"].endswith(" (without --tls only)")
    assert listed["calls/profile"].endswith(".")


def test_progress_in_a_pipe_is_a_line_for_each_failure_and_language() -> None:
    out = io.StringIO()
    with Progress(4, out) as progress:
        progress("go", "calls/one", Outcome())
        progress("go", "calls/two", Outcome(["it differs"]))
        progress("go", "calls/three", Outcome(unknown="no suite"))
        progress("go", "calls/four", Outcome(unknown="no suite"))
    assert out.getvalue() == "go calls/two: ✗\ngo calls/three: ?\ngo: 1 of 4 passed\n"


def test_progress_on_a_terminal_counts_in_its_last_line_and_clears_it() -> None:
    out = Terminal()
    with Progress(2, out) as progress:
        progress("go", "calls/one", Outcome(["it differs"]))
        progress("go", "calls/two", Outcome())
    assert "\rgo calls/one: ✗\n" in out.getvalue()
    assert out.getvalue().endswith("\rgo: 2 of 2\r          \r")
