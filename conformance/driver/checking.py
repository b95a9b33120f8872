"""Refuses what no driver can play."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from conformance.driver.certificates import NAMES
from conformance.driver.languages import LANGUAGES
from conformance.driver.matching import OPERATORS
from conformance.driver.suite import KINDS
from conformance.driver.values import Json

OPS = {
    "open": {"client", "token", "refresh_token", "retries", "tls"},
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

DEEDS = frozenset({"cut", "hold", "release", "flip", "down", "up", "restart", "kill", "expire"})
"""What a step may do to the network and the suite."""

ROUNDS = ("plain", "tls")
"""What a case is played over: plain text, and mutual TLS."""

_TRIGGERS = {"after_events", "after_ms", "after_held", "after_passed"}
_MEANWHILE = {"cancel", "close"}

MAKERS = frozenset({"$words", "$repeat", "$echo", "$cut"})
"""How a case may have a value made."""

_OP_SECONDS = 60
# Acknowledgements and window updates of HTTP/2, each in a TLS record of its own, come to fewer.
_LEAST_HELD = 100
_PLAYED = {"op", "expect", "while", "at_once", "until_seconds", "within"}
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*/[a-z0-9]+(-[a-z0-9]+)*")
_KEYS = {"name", "says", "suite", "people", "rounds", "let", "steps", "except"}


def wrong_in(file: str, case: Mapping[str, Json]) -> Iterator[str]:
    """What keeps a case of this file from being played, a line each."""
    if case.keys() - _KEYS:
        yield f"there is no {', '.join(sorted(case.keys() - _KEYS))}"
    if not {"name", "says", "steps"} <= case.keys():
        yield "a case has a name, says something, and has steps"
        return
    if not case["steps"] or not all(isinstance(step, dict) for step in case["steps"]):
        yield "it has no steps, or one that is no object"
        return
    if not _NAME.fullmatch(case["name"]) or not case["name"].startswith(f"{file}/"):
        yield f"its name is not {file}/… in lower case"
    if case.get("suite", "plain") not in KINDS:
        yield f"there is no suite {case['suite']}"
    yield from _wrong_rounds(case)
    yield from _wrong_exceptions(case.get("except", {}))
    for name, made in case.get("let", {}).items():
        if isinstance(made, dict) and not set(made) <= MAKERS:
            yield f"{name} is made by nothing that there is"
    if any(
        "\ud800" <= character <= "\udfff"
        for text in _texts([case.get("let"), case["steps"]])
        for character in text
    ):
        yield "no line of JSON can carry half of a surrogate pair"
    for number, step in enumerate(case["steps"], 1):
        for wrong in _wrong_step(step):
            yield f"step {number}: {wrong}"


def _wrong_rounds(case: Mapping[str, Json]) -> Iterator[str]:
    rounds = case.get("rounds", ROUNDS)
    if not rounds or not set(rounds) <= set(ROUNDS):
        yield f"rounds are some of {', '.join(ROUNDS)}"
    if "tls" in rounds and any("flip" in deeds_of(step) for step in case["steps"]):
        yield "what flips a bit ends a TLS connection, so it is for plain rounds"


def _wrong_exceptions(exceptions: Mapping[str, Json]) -> Iterator[str]:
    for language, why in exceptions.items():
        if language not in LANGUAGES:
            yield f"there is no language {language}"
        if set(why) != {"because", "issue"} or not all(why.values()):
            yield f"{language} is excepted without a reason and an issue"
        elif not str(why["issue"]).startswith("https://"):
            yield f"the issue of {language} is no https address"


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
    if step["op"] in ("open", "close"):
        if step.keys() - fields - {"op"}:
            yield f"{step['op']} has no {', '.join(sorted(step.keys() - fields - {'op'}))}"
        if step.get("tls", "plain") not in NAMES:
            yield f"no client has the certificates {step['tls']}"
        return
    if step.keys() - fields - _PLAYED:
        yield f"{step['op']} has no {', '.join(sorted(step.keys() - fields - _PLAYED))}"
    if step.get("within", 0) > _OP_SECONDS and "deadline_ms" not in step:
        yield "an op without a deadline_ms ends after a minute, whatever is within"
    for trigger in step.get("while", []):
        if len(trigger.keys() & _TRIGGERS) != 1:
            yield f"what happens meanwhile happens by one of {', '.join(sorted(_TRIGGERS))}"
        if trigger.get("after_held", _LEAST_HELD) < _LEAST_HELD:
            yield f"fewer than {_LEAST_HELD} bytes may be held before the server has answered"
        yield from _wrong_deeds(trigger.get("do"), _MEANWHILE)
    yield from _wrong_expectation(step.get("expect"))


def deeds_of(step: Mapping[str, Json]) -> Iterator[str]:
    """All deeds of a step, meanwhile or instead of an op."""
    for each in (step, *step.get("while", [])):
        deeds = each.get("do", [])
        yield from deeds if isinstance(deeds, list) else [deeds]


def _wrong_deeds(deeds: Json, more: set[str] | frozenset[str] = frozenset()) -> Iterator[str]:
    for deed in deeds if isinstance(deeds, list) else [deeds]:
        if deed not in DEEDS | more:
            yield f"nobody can do {deed}"


def _wrong_expectation(expected: Json) -> Iterator[str]:
    if isinstance(expected, dict):
        operators = {key for key in expected if key.startswith("$")}
        if operators - OPERATORS:
            yield f"nothing compares by {', '.join(sorted(operators - OPERATORS))}"
        if "$regex" in expected:
            try:
                re.compile(expected["$regex"])
            except (re.error, TypeError) as error:
                yield f"{expected['$regex']} is no regular expression: {error}"
        if operators and expected.keys() - operators:
            yield f"nobody would look at {', '.join(sorted(expected.keys() - operators))} beside {', '.join(sorted(operators))}"
    for each in _within(expected):
        yield from _wrong_expectation(each)


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in _within(value):
        yield from _texts(each)


def _within(value: Json) -> Iterable[Json]:
    if isinstance(value, dict):
        return [*value, *value.values()]
    return value if isinstance(value, list) else ()
