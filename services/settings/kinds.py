"""How the text of an environment variable becomes a value, and how a value is shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class SecretStr:
    """A text that no log line, repr or error shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        """The text itself."""
        return self._value

    def __repr__(self) -> str:
        return "SecretStr('**********')"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretStr) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


class Unsuitable(ValueError):
    """A text of the right form that can't be used. Its message says why, and repeats nothing of the text that could be secret."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of value. `parse` raises ValueError for a text that is not what `expected` says, Unsuitable to say more.

    The empty text counts as unset unless `empty` says that it means something.
    """

    parse: Callable[[str], T]
    expected: str
    show: Callable[[T], str] = str
    secret: bool = False
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name of a setting; `kind` is given where it is written in another way."""

    name: str
    kind: Kind[Any] | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What a section's field knows of itself."""

    kind: Kind[Any]
    doc: str
    aliases: tuple[Alias, ...] = ()


def setting(kind: Kind[T], default: T | None, doc: str, *aliases: str | Alias) -> Any:
    """A field of a section."""
    named = tuple(alias if isinstance(alias, Alias) else Alias(alias) for alias in aliases)
    return field(default=default, repr=not kind.secret, metadata={"setting": Setting(kind, doc, named)})


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def _duration(text: str) -> float:
    compact = text.strip().lower().replace(" ", "")
    if _NUMBER.fullmatch(compact):
        return float(compact)
    if not _DURATION.fullmatch(compact):
        raise ValueError
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(compact))


def _show_duration(seconds: float) -> str:
    if seconds <= 0:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        if seconds % _UNITS[unit] == 0:
            return f"{round(seconds / _UNITS[unit])}{unit}"
    return f"{round(seconds * 1000)}ms"


def _positive_duration(text: str) -> float:
    value = _duration(text)
    if value <= 0:
        raise ValueError
    return value


def _minutes(text: str) -> float:
    if not _NUMBER.fullmatch(text.strip()) or float(text) <= 0:
        raise ValueError
    return float(text) * 60


_SIZES = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "kib": 1024, "mib": 1024**2, "gib": 1024**3}


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([a-z]*)", text.strip().lower())
    if not match or match[2] not in _SIZES or int(match[1]) == 0:
        raise ValueError
    return int(match[1]) * _SIZES[match[2]]


def _show_size(count: int) -> str:
    for unit, size in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if count % size == 0:
            return f"{count // size}{unit}"
    return str(count)


_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError
    return word in _TRUE


def _text(text: str) -> str:
    return text.strip()


def _secret(text: str) -> SecretStr:
    return SecretStr(text.strip())


def _hidden(value: object) -> str:
    return "(set)"


def whole(lowest: int, highest: int) -> Kind[int]:
    """Whole numbers within bounds."""

    def parse(text: str) -> int:
        value = int(text)
        if not lowest <= value <= highest:
            raise ValueError
        return value

    return Kind(parse, f"a whole number from {lowest} to {highest}")


def one_of(*words: str, upper: bool = False) -> Kind[str]:
    """One of a few words, in any case."""

    def parse(text: str) -> str:
        word = text.strip().upper() if upper else text.strip().lower()
        if word not in words:
            raise ValueError
        return word

    return Kind(parse, "one of " + ", ".join(words))


TEXT: Kind[str] = Kind(_text, "a text")
SECRET: Kind[SecretStr] = Kind(_secret, "a text", show=_hidden, secret=True)
PATH: Kind[Path] = Kind(lambda text: Path(text.strip()).expanduser(), "a path")
BOOLEAN: Kind[bool] = Kind(_boolean, "true or false", show=lambda value: "true" if value else "false")
DURATION: Kind[float] = Kind(_duration, "a duration such as 10s, 15m, 1h30m or 30d", show=_show_duration)
POSITIVE_DURATION: Kind[float] = Kind(
    _positive_duration, "a duration above zero such as 10s, 15m, 1h30m or 30d", show=_show_duration
)
MINUTES: Kind[float] = Kind(_minutes, "a number of minutes", show=lambda value: f"{value / 60:g}")
SIZE: Kind[int] = Kind(_size, "a size such as 65536, 64KiB or 4MiB", show=_show_size)
PORT = whole(0, 65535)


def setting_of(metadata: object) -> Setting | None:
    """The setting that a dataclass field's metadata describes, if it does."""
    return cast("dict[str, Setting]", metadata).get("setting")
