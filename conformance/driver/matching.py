"""Compares what a case expects with what was observed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from conformance.driver.streams import audio_gaps, gaps
from conformance.driver.values import Json, Values

_SHOWN = 200


class Absent:
    """Stands for a field that was not observed."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT = Absent()


def differences(expected: Json, observed: Json, bound: Values, path: str = "") -> list[str]:
    """What differs, a line each; empty when nothing does. `$bind` puts what it meets into `bound`."""
    if isinstance(expected, dict):
        operators = [key for key in expected if key.startswith("$")]
        if operators:
            found: list[str] = []
            for operator in operators:
                found += _OPERATORS[operator](expected[operator], observed, bound, path)
            return found
        if not isinstance(observed, dict):
            return [_differs(path, "an object", observed)]
        return [
            line
            for key, item in expected.items()
            for line in differences(item, observed.get(key, ABSENT), bound, f"{path}.{key}" if path else key)
        ]
    if isinstance(expected, list):
        if not isinstance(observed, list) or len(observed) != len(expected):
            return [_differs(path, f"a list of {len(expected)}", observed)]
        return [
            line
            for number, item in enumerate(expected)
            for line in differences(item, observed[number], bound, f"{path}[{number}]")
        ]
    if isinstance(expected, bool) or isinstance(observed, bool) or expected is None:
        return [] if expected is observed else [_differs(path, repr(expected), observed)]
    return [] if expected == observed else [_differs(path, repr(expected), observed)]


def _differs(path: str, expected: str, observed: Json) -> str:
    return f"{path or 'it'}: expected {_short(expected)}, observed {_short(repr(observed))}"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"


def _any(_: Json, observed: Json, bound: Values, path: str) -> list[str]:
    return [_differs(path, "anything", observed)] if observed is ABSENT else []


def _absent(wanted: Json, observed: Json, bound: Values, path: str) -> list[str]:
    return [] if (observed is ABSENT) is bool(wanted) else [_differs(path, "nothing", observed)]


def _regex(pattern: Json, observed: Json, bound: Values, path: str) -> list[str]:
    fits = isinstance(observed, str) and re.search(pattern, observed) is not None
    return [] if fits else [_differs(path, f"/{pattern}/", observed)]


def _at_least(least: Json, observed: Json, bound: Values, path: str) -> list[str]:
    number = _number(observed)
    return [] if number is not None and number >= least else [_differs(path, f"at least {least}", observed)]


def _at_most(most: Json, observed: Json, bound: Values, path: str) -> list[str]:
    number = _number(observed)
    return [] if number is not None and number <= most else [_differs(path, f"at most {most}", observed)]


def _length(length: Json, observed: Json, bound: Values, path: str) -> list[str]:
    if not isinstance(observed, list | str):
        return [_differs(path, f"{length} of something", observed)]
    if isinstance(length, dict):
        return differences(length, len(observed), bound, f"{path}'s length")
    return [] if len(observed) == length else [_differs(path, f"a length of {length}", len(observed))]


def _bind(name: Json, observed: Json, bound: Values, path: str) -> list[str]:
    if observed is ABSENT:
        return [_differs(path, f"something to call ${{{name}}}", observed)]
    bound[name] = observed
    return []


def _each(expected: Json, observed: Json, bound: Values, path: str) -> list[str]:
    if not isinstance(observed, list):
        return [_differs(path, "a list", observed)]
    return [
        line
        for number, item in enumerate(observed)
        for line in differences(expected, item, bound, f"{path}[{number}]")
    ]


def _item(number: int) -> Callable[[Json, Json, Values, str], list[str]]:
    def look(expected: Json, observed: Json, bound: Values, path: str) -> list[str]:
        if not isinstance(observed, list) or len(observed) < (-number if number < 0 else number + 1):
            return [_differs(path, "a longer list", observed)]
        return differences(expected, observed[number], bound, f"{path}[{number}]")

    return look


def _has(expected: Json, observed: Json, bound: Values, path: str) -> list[str]:
    """Some item of the list for each that is expected."""
    if not isinstance(observed, list):
        return [_differs(path, "a list", observed)]
    missing = [each for each in expected if all(differences(each, item, bound) for item in observed)]
    return [_differs(path, f"among it {each!r}", observed) for each in missing]


def _unique(key: Json, observed: Json, bound: Values, path: str) -> list[str]:
    """Each item of the list has another value of the field."""
    if not isinstance(observed, list):
        return [_differs(path, "a list", observed)]
    found = [json.dumps(item.get(key)) if isinstance(item, dict) else None for item in observed]
    return [] if len({*found}) == len(found) else [f"{path}: several have the same {key}"]


def _not(unexpected: Json, observed: Json, bound: Values, path: str) -> list[str]:
    same = not differences(unexpected, observed, dict(bound))
    return [_differs(path, f"anything but {unexpected!r}", observed)] if same else []


def _dense(first: Json, observed: Json, bound: Values, path: str) -> list[str]:
    """Chat events whose positions leave nothing out, from one on when it is named."""
    return [f"{path}: {gap}" for gap in gaps(observed, None if first is True else first)]


def _audio(_: Json, observed: Json, bound: Values, path: str) -> list[str]:
    """Speech events in their order: audio dense by offset and duration, and as much of it as the end says."""
    return [f"{path}: {gap}" for gap in audio_gaps(observed)]


def _number(observed: Json) -> float | None:
    # 64-bit numbers are texts in JSON.
    if isinstance(observed, bool) or not isinstance(observed, int | float | str):
        return None
    try:
        return float(observed)
    except ValueError:
        return None


_OPERATORS: dict[str, Callable[[Json, Json, Values, str], list[str]]] = {
    "$any": _any,
    "$absent": _absent,
    "$regex": _regex,
    "$ge": _at_least,
    "$le": _at_most,
    "$len": _length,
    "$bind": _bind,
    "$each": _each,
    "$first": _item(0),
    "$last": _item(-1),
    "$before_last": _item(-2),
    "$unique": _unique,
    "$has": _has,
    "$not": _not,
    "$dense": _dense,
    "$audio": _audio,
}

OPERATORS = frozenset(_OPERATORS)
"""What an expectation may ask for beside equality."""
