"""The driver of the conformance cases finds differences, refuses cases that can't be played, and tells what became of the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conformance.driver import cases
from conformance.driver.cases import Case
from conformance.driver.failures import CaseInvalid
from conformance.driver.matching import differences
from conformance.driver.streams import miscounted
from conformance.driver.table import Outcome, status, table
from conformance.driver.values import filled

SPEECH = [
    {"audio": {"data": "AAAA", "duration": "0.000022676s"}},
    {"audio": {"data": "AA==", "offset": "0.000022676s", "duration": "1s"}},
    {"finished": {"audioBytes": "4", "chunkCount": "2", "audioDuration": "1.000022675s"}},
]


@pytest.mark.parametrize(
    ("expected", "observed"),
    [
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": {"$absent": True}}, {}),
        ({"$ge": 5}, "7"),
        ({"$le": 5}, 5),
        ({"$regex": "^a"}, "ab"),
        ({"$len": 2, "$each": {"$ge": 1}}, [1, 2]),
        ({"$first": 1, "$before_last": 2, "$last": 3}, [1, 2, 3]),
        ({"$has": [{"a": 1}]}, [{"a": 2}, {"a": 1}]),
        ({"$unique": "a"}, [{"a": 1}, {"a": 2}]),
        ({"$not": 1}, 2),
        ({"$dense": True}, [{"firstSeq": "3", "seq": "3"}, {"firstSeq": "4", "seq": "6"}]),
        ({"$dense": 1}, [{"event": {"firstSeq": "1", "seq": "1"}}, {"event": {"firstSeq": "2", "seq": "4"}}]),
        ({"$audio": True}, SPEECH),
    ],
)
def test_what_is_as_expected_does_not_differ(expected: Any, observed: Any) -> None:
    assert differences(expected, observed, {}) == []


@pytest.mark.parametrize(
    ("expected", "observed"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {}),
        ({"a": 1}, "a"),
        ([1, 2], [1]),
        ([1, 2], [2, 1]),
        (True, 1),
        ({"$absent": True}, 1),
        ({"$ge": 5}, "4"),
        ({"$regex": "^a"}, "ba"),
        ({"$len": 2}, [1]),
        ({"$each": {"$ge": 1}}, [1, 0]),
        ({"$last": 3}, []),
        ({"$has": [1, 2]}, [1]),
        ({"$unique": "a"}, [{"a": 1}, {"a": 1}]),
        ({"$not": 1}, 1),
        ({"$dense": True}, [{"firstSeq": "1", "seq": "1"}, {"firstSeq": "3", "seq": "4"}]),
        ({"$dense": True}, []),
        ({"$dense": True}, [{}]),
        ({"$dense": True}, [{"event": 5}]),
        ({"$dense": True}, [{"firstSeq": "b", "seq": "1"}]),
        ({"$dense": True}, [{"firstSeq": "4", "seq": "3"}]),
        ({"$dense": 1}, [{"firstSeq": "2", "seq": "2"}]),
        ({"$audio": True}, []),
        ({"$audio": True}, SPEECH[1:]),
        ({"$audio": True}, [{"audio": 5}]),
        ({"$audio": True}, [{"audio": {"duration": "soon"}}]),
        ({"$audio": True}, [{"audio": {"data": "no base64"}}]),
        ({"$unique": "a"}, [5, {"a": [1]}, {"a": [1]}]),
    ],
)
def test_what_is_not_as_expected_differs(expected: Any, observed: Any) -> None:
    assert differences(expected, observed, {})


def test_what_was_bound_stands_in_later_steps() -> None:
    bound: dict[str, Any] = {}
    assert differences({"id": {"$bind": "session"}}, {"id": 7}, bound) == []
    assert filled({"whole": "${session}", "part": "no. ${session}"}, bound) == {"whole": 7, "part": "no. 7"}
    with pytest.raises(KeyError):
        filled("${nothing}", bound)


def test_all_cases_can_be_played() -> None:
    found = cases.read()
    assert len(found) >= 70
    assert all(case.says.endswith(".") for case in found)


@pytest.mark.parametrize(
    "case",
    [
        {"name": "calls/one"},
        {"name": "other/one", "says": "x", "steps": []},
        {"name": "calls/one", "says": "x", "steps": [{"op": "fly"}]},
        {"name": "calls/one", "says": "x", "steps": []},
        {"name": "calls/one", "says": "x", "steps": ["fly"]},
        {
            "name": "calls/one",
            "says": "x",
            "steps": [{"op": "token", "as": "ana", "expect": {"$regex": "("}}],
        },
        {"name": "calls/one", "says": "x", "steps": [{"do": "fly"}]},
        {"name": "calls/one", "says": "x", "steps": [{"op": "call", "expect": {"$odd": 1}}]},
        {"name": "calls/one", "says": "x", "steps": [], "except": {"go": {"because": "", "issue": ""}}},
        {"name": "calls/one", "says": "x", "steps": [], "except": {"cobol": {"because": "x", "issue": "y"}}},
        {"name": "calls/one", "says": "x", "steps": [], "rounds": ["radio"]},
        {"name": "calls/one", "says": "x", "steps": [{"do": "flip"}]},
        {"name": "calls/one", "says": "x", "steps": [{"do": "close"}]},
        {"name": "calls/one", "says": "x", "steps": [{"op": "open", "client": "a", "expect": {"ok": True}}]},
        {"name": "calls/one", "says": "x", "steps": [{"op": "open", "client": "a", "tls": "odd"}]},
        {"name": "calls/one", "says": "x", "steps": [{"op": "call", "expect": {"$ge": 1, "code": "OK"}}]},
        {"name": "calls/one", "says": "x", "steps": [{"op": "call", "within": 90}]},
        {"name": "calls/one", "says": "x", "steps": [{"op": "call", "request": {"title": "\ud800"}}]},
        {
            "name": "calls/one",
            "says": "x",
            "steps": [{"op": "token", "while": [{"after_held": 9, "do": "cut"}]}],
        },
        "a case",
    ],
)
def test_what_no_driver_can_play_is_refused(tmp_path: Path, case: Any) -> None:
    (tmp_path / "calls.json").write_text(json.dumps([case]))
    with pytest.raises(CaseInvalid):
        cases.read(tmp_path)


@pytest.mark.parametrize(
    ("steps", "alone"),
    [
        ([{"op": "token", "as": "ana"}], False),
        ([{"op": "token", "as": "ana", "while": [{"after_ms": 1, "do": "cut"}]}], False),
        ([{"do": ["down", "kill"]}], True),
        ([{"op": "token", "as": "ana", "while": [{"after_ms": 1, "do": "restart"}]}], True),
    ],
)
def test_a_case_that_stops_the_suite_is_played_alone(steps: Any, alone: bool) -> None:
    assert Case("calls/it", "It.", steps).alone is alone


@pytest.mark.parametrize(
    ("op", "result", "found"),
    [
        ("answer", {"ok": True, "count": 2, "text": "a😀"}, []),
        ("answer", {"ok": True, "count": 2, "text": "a"}, ["text"]),
        ("resume", {"ok": True, "count": 3, "text": "a😀"}, ["count"]),
        ("resume", {"ok": True}, ["count", "text"]),
        ("answer", {"ok": False}, []),
        ("answer", {"ok": False, "text": "b"}, ["text"]),
        ("stream", {"ok": True, "count": 1}, ["count"]),
        ("call", {"ok": True}, []),
    ],
)
def test_a_runner_that_counts_otherwise_than_its_events_is_found(
    op: str, result: Any, found: list[str]
) -> None:
    events = [{"textDelta": {"text": "a"}}, {"textDelta": {"text": "😀"}}]
    assert [line.partition(":")[0] for line in miscounted(op, events, result)] == found


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([Outcome(), Outcome(left_out="known")], 0),
        ([Outcome(), Outcome(["it differs"]), Outcome(unknown="no suite")], 1),
        ([Outcome(), Outcome(unknown="no suite")], 2),
        ([Outcome(left_out="known")], 2),
    ],
)
def test_what_could_not_be_found_out_is_no_success(outcomes: list[Outcome], expected: int) -> None:
    by_case = {f"calls/no-{number}": outcome for number, outcome in enumerate(outcomes)}
    assert status({"go": by_case}) == expected


def test_the_table_tells_why_a_case_failed() -> None:
    case = cases.Case("calls/one", "x", [])
    outcomes = {"go": {"calls/one": Outcome(["it differs"])}, "rust": {"calls/one": Outcome()}}
    shown = table([case], outcomes)
    assert "✗" in shown
    assert "✓" in shown
    assert "go calls/one: it differs" in shown


def test_what_keeps_several_cases_from_being_played_is_said_once() -> None:
    chosen = [cases.Case(f"calls/no-{number}", "x", []) for number in range(3)]
    outcomes = {"go": {case.name: Outcome(unknown="go needs go") for case in chosen}}
    shown = table(chosen, outcomes)
    assert shown.count("?") == 4
    assert shown.endswith("? go calls/no-0 and 2 more: go needs go")


def test_a_table_that_is_too_wide_numbers_its_languages() -> None:
    chosen = [cases.Case(f"calls/no-{number}", "x", []) for number in range(100)]
    outcomes = {
        language: {case.name: Outcome() for case in chosen} for language in ("python", "python-sync", "rust")
    }
    assert "python-sync" in table(chosen, outcomes, 60).splitlines()[0]
    shown = table(chosen, outcomes, 30).splitlines()
    assert shown[:3] == ["1 python", "2 python-sync", "3 rust"]
    assert shown[-1] == "passed, of 100 100 100 100"
    assert all(len(line) <= 30 for line in shown)
