"""Reads case files, and refuses what no driver can play."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conformance.driver.failures import CaseInvalid
from conformance.driver.matching import OPERATORS, Json
from conformance.driver.suite import KINDS

FOLDER = Path(__file__).resolve().parents[1] / "cases"
OPS = {
    "open": {"client", "token", "refresh_token", "retries"},
    "login": {"as", "email", "password"},
    "token": {"as"},
    "call": {"as", "method", "request", "deadline_ms", "metadata"},
    "stream": {"as", "method", "request", "deadline_ms", "metadata", "take"},
    "answer": {"as", "request", "deadline_ms", "take"},
    "resume": {"as", "generation_id", "after_seq", "resume_token", "deadline_ms", "take"},
    "pages": {"as", "method", "request", "items"},
    "download": {"as", "method", "request"},
    "close": {"client"},
}
"""What a step may tell a runner, and the fields that it may have."""

DEEDS = frozenset({"cut", "hold", "release", "down", "up", "restart", "kill", "expire"})
"""What a step may do to the network and the suite."""

_STOPS = frozenset({"restart", "kill"})

MAKERS = frozenset({"$words", "$repeat", "$echo", "$cut"})
"""How a case may have a value made."""

_PLAYED = {"op", "expect", "while", "at_once", "until_seconds", "within"}
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*/[a-z0-9]+(-[a-z0-9]+)*")
_KEYS = {"name", "says", "suite", "people", "let", "steps", "except"}


@dataclass(frozen=True, slots=True)
class Exempt:
    """Why a language does not pass a case, and where that is known."""

    because: str
    issue: str


@dataclass(frozen=True, slots=True)
class Case:
    """What every client has to observe."""

    name: str
    says: str
    steps: Sequence[Mapping[str, Json]]
    suite: str = "plain"
    people: Sequence[str] = ("ana",)
    let: Mapping[str, Json] = field(default_factory=dict)
    exempt: Mapping[str, Exempt] = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        """Whether it stops the suite, so that no other case can be played meanwhile."""
        return not _STOPS.isdisjoint(deed for step in self.steps for deed in _deeds(step))


def read(folder: Path = FOLDER) -> list[Case]:
    """All cases, by file and in their order. Raises CaseInvalid."""
    cases = [case for path in sorted(folder.glob("*.json")) for case in _of_file(path)]
    names = [case.name for case in cases]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise CaseInvalid(f"two cases have the name {', '.join(sorted(doubled))}")
    return cases


def _of_file(path: Path) -> Iterator[Case]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CaseInvalid(f"{path.name} is no JSON: {error}") from error
    for each in found:
        where = f"{path.name}: {each.get('name', 'a case without a name')}"
        for wrong in _wrong(path.stem, each):
            raise CaseInvalid(f"{where}: {wrong}")
        exempt = {language: Exempt(**why) for language, why in each.get("except", {}).items()}
        given = {key: each[key] for key in ("suite", "people", "let") if key in each}
        yield Case(name=each["name"], says=each["says"], steps=each["steps"], exempt=exempt, **given)


def _wrong(file: str, case: Mapping[str, Json]) -> Iterator[str]:
    if case.keys() - _KEYS:
        yield f"there is no {', '.join(sorted(case.keys() - _KEYS))}"
    if not {"name", "says", "steps"} <= case.keys():
        yield "a case has a name, says something, and has steps"
        return
    if not _NAME.fullmatch(case["name"]) or not case["name"].startswith(f"{file}/"):
        yield f"its name is not {file}/… in lower case"
    if case.get("suite", "plain") not in KINDS:
        yield f"there is no suite {case['suite']}"
    for language, why in case.get("except", {}).items():
        if set(why) != {"because", "issue"} or not all(why.values()):
            yield f"{language} is excepted without a reason and an issue"
    for name, made in case.get("let", {}).items():
        if isinstance(made, dict) and not set(made) <= MAKERS:
            yield f"{name} is made by nothing that there is"
    for number, step in enumerate(case["steps"], 1):
        for wrong in _wrong_step(step):
            yield f"step {number}: {wrong}"


def _wrong_step(step: Mapping[str, Json]) -> Iterator[str]:
    if "do" in step:
        yield from _wrong_deeds(step["do"])
        if step.keys() - {"do", "token"}:
            yield "a deed has nothing but its name"
        return
    fields = OPS.get(step.get("op", ""))
    if fields is None:
        yield f"there is no op {step.get('op')}"
        return
    if step.keys() - fields - _PLAYED:
        yield f"{step['op']} has no {', '.join(sorted(step.keys() - fields - _PLAYED))}"
    for trigger in step.get("while", []):
        if len(trigger.keys() & {"after_events", "after_ms", "after_held"}) != 1:
            yield "what happens meanwhile happens after_events, after_ms or after_held"
        yield from _wrong_deeds(trigger.get("do"), {"cancel"})
    unknown = set(_operators(step.get("expect"))) - OPERATORS
    if unknown:
        yield f"nothing compares by {', '.join(sorted(unknown))}"


def _deeds(step: Mapping[str, Json]) -> Iterator[str]:
    for each in (step, *step.get("while", [])):
        deeds = each.get("do", [])
        yield from deeds if isinstance(deeds, list) else [deeds]


def _wrong_deeds(deeds: Json, more: set[str] | frozenset[str] = frozenset()) -> Iterator[str]:
    for deed in deeds if isinstance(deeds, list) else [deeds]:
        if deed not in DEEDS | more:
            yield f"nobody can do {deed}"


def _operators(expected: Json) -> Iterator[str]:
    if isinstance(expected, dict):
        yield from (key for key in expected if key.startswith("$"))
        for each in expected.values():
            yield from _operators(each)
    elif isinstance(expected, list):
        for each in expected:
            yield from _operators(each)
