"""The rules of buf.validate in words; needs no generated code, as rules come as messages of whatever set they were read from."""

from collections.abc import Callable
from typing import Any

NameOf = Callable[[int], str]
_ZERO_NAMES = {"string": "empty", "bytes": "empty", "enum": "unspecified"}
_SIGNS = {"gte": "≥", "gt": "&gt;", "lte": "≤", "lt": "&lt;"}
_TEXTS = {"email": "an e-mail address", "uuid": "a UUID", "uri": "a URI"}


class Unspoken(Exception):
    """A rule that has no words here; says which."""


def words(rules: Any, name_of: NameOf) -> list[str]:
    """What a buf.validate.FieldRules asks for, one phrase each. `name_of` names the values of the field's enum."""
    said: list[str] = []
    after: list[str] = []
    for field, value in rules.ListFields():
        name = field.name
        if name == "required":
            said.append("required")
        elif name == "ignore":
            ignore = field.enum_type.values_by_number[value].name
            if ignore == "IGNORE_ALWAYS":
                return ["judged by the RPC itself"]
            after.append(f"or {_ZERO_NAMES.get(rules.WhichOneof('type'), '0')}")
        elif field.containing_oneof is None:
            raise Unspoken(name)
        else:
            said += _KINDS.get(name, _number)(value, name_of)
    if not after:
        return said
    return [" ".join([", ".join(said), *after])]


def _string(rules: Any, name_of: NameOf) -> list[str]:
    said = []
    for field, value in rules.ListFields():
        if field.name == "min_len":
            said.append("not empty" if value == 1 else f"at least {value:,} characters")
        elif field.name == "max_len":
            said.append(f"at most {value:,} characters")
        elif field.name == "max_bytes":
            said.append(f"at most {value:,} bytes")
        elif field.name == "pattern":
            said.append(f"matches `{value}`")
        elif field.name in _TEXTS:
            said.append(_TEXTS[field.name])
        else:
            raise Unspoken(f"string.{field.name}")
    return said


def _number(rules: Any, name_of: NameOf) -> list[str]:
    given = {field.name: value for field, value in rules.ListFields()}
    if unknown := given.keys() - {*_SIGNS, "finite"}:
        raise Unspoken(f"{rules.DESCRIPTOR.name}.{min(unknown)}")
    finite = ["finite"] if given.pop("finite", False) else []
    if given.keys() == {"gte", "lte"}:
        return [f"{_told(given['gte'])} to {_told(given['lte'])}", *finite]
    return [f"{_SIGNS[name]} {_told(given[name])}" for name in _SIGNS if name in given] + finite


def _told(number: int | float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:,g}"


def _duration(rules: Any, name_of: NameOf) -> list[str]:
    given = {field.name: value for field, value in rules.ListFields()}
    if unknown := sorted(name for name, value in given.items() if name not in _SIGNS or value.nanos):
        raise Unspoken(f"duration.{unknown[0]}")
    if given.keys() == {"gte", "lte"}:
        return [f"{given['gte'].seconds:,} to {given['lte'].seconds:,} s"]
    return [f"{_SIGNS[name]} {given[name].seconds:,} s" for name in _SIGNS if name in given]


def _timestamp(rules: Any, name_of: NameOf) -> list[str]:
    said = []
    for field, _ in rules.ListFields():
        if field.name != "gt_now":
            raise Unspoken(f"timestamp.{field.name}")
        said.append("in the future")
    return said


def _enum(rules: Any, name_of: NameOf) -> list[str]:
    said = []
    for field, value in rules.ListFields():
        if field.name == "defined_only":
            said.append("a value of the list")
        elif field.name == "not_in":
            said += [f"not `{name_of(number)}`" for number in value]
        else:
            raise Unspoken(f"enum.{field.name}")
    return said


def _repeated(rules: Any, name_of: NameOf) -> list[str]:
    said = []
    for field, value in rules.ListFields():
        if field.name == "min_items":
            said.append("not empty" if value == 1 else f"at least {value:,}")
        elif field.name == "max_items":
            said.append(f"at most {value:,}")
        elif field.name == "unique":
            said.append("none twice")
        elif field.name == "items":
            said.append(f"each {', '.join(words(value, name_of))}")
        else:
            raise Unspoken(f"repeated.{field.name}")
    return said


_KINDS: dict[str, Callable[[Any, NameOf], list[str]]] = {
    "string": _string,
    "duration": _duration,
    "timestamp": _timestamp,
    "enum": _enum,
    "repeated": _repeated,
}
