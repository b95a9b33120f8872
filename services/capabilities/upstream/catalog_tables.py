"""The reading of a catalog's file: its tables, and what is wrong with them, line by line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from services.capabilities.upstream.lines import Lines, NotToml, Step, parse
from services.kernel.startup import StartupError

T = TypeVar("T")

_LARGEST_FILE = 1024 * 1024
_MOST_COMPLAINTS = 10
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


class Reading:
    """The reading of one file. What is wrong is noted with its line, and something usable taken in its place, so that the rest is
    read, too. `setting` names the file for the operator, `page` tells what may stand in it.

    Raises StartupError for a file that can't be read, or is not TOML.
    """

    def __init__(self, path: Path, *, setting: str, page: str) -> None:
        self._path = path
        self._page = page
        self._complaints: set[tuple[int, str]] = set()
        data = _bytes(path, setting)
        try:
            self._text = data.decode("utf-8-sig")
            content = parse(self._text)
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise self._refused([f"{path}:{line}: the text is not UTF-8."]) from None
        except NotToml as error:
            raise self._refused([f"{path}:{error.line}: this is not TOML: {error.what}."]) from None
        self.whole = Table(self, "", (), content)

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self._text)

    def wrong(self, path: tuple[Step, ...], what: str) -> None:
        """Note what is wrong with the thing at `path`."""
        self._complaints.add((self._lines.of(*path), what))

    def check(self) -> None:
        """Raise StartupError when something was wrong; it tells each thing, up to ten of them, with its line."""
        if self._complaints:
            raise self._refused([f"{self._path}:{line}: {what}." for line, what in sorted(self._complaints)])

    def _refused(self, complaints: list[str]) -> StartupError:
        shown, more = complaints[:_MOST_COMPLAINTS], len(complaints) - _MOST_COMPLAINTS
        if more > 0:
            shown.append(f"And {more} more.")
        return StartupError(
            "\n".join(shown), f"Correct the catalog of models; {self._page} tells what may stand in it."
        )


def _bytes(path: Path, setting: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise StartupError(
            f"The catalog of models {path} can't be read: {error.strerror}.", f"Correct {setting}."
        ) from None
    if len(data) > _LARGEST_FILE:
        raise StartupError(f"The catalog of models {path} is larger than 1 MiB.", "Correct the file.")
    return data


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the file, and how it is spoken of."""

    reading: Reading
    about: str
    path: tuple[Step, ...]
    content: Mapping[str, Any] = field(default_factory=dict)

    def wrong(self, what: str, *steps: Step) -> None:
        """Note what is wrong with what stands at `steps` below the table."""
        self.reading.wrong((*self.path, *steps), f"{self.about} {what}" if self.about else what)

    def only(self, known: Iterable[str]) -> None:
        """Complain of all other keys."""
        for key in self.content:
            if key not in known:
                names = ", ".join(sorted(known))
                self.wrong(f"{'' if self.about else 'the file '}has {key!r}; known are {names}", key)

    def table(self, key: str) -> Mapping[str, Any]:
        """The content of the table below; nothing without one."""
        found = self.content.get(key, {})
        if isinstance(found, dict):
            return found
        self.wrong(f"{key} is no table" if not self.about else f"needs a table for {key}", key)
        return {}

    def below(self, key: str, about: str) -> Table:
        """The table below, spoken of as `about`."""
        return Table(self.reading, about, (*self.path, key), self.table(key))

    def text(self, key: str, default: str | None = None) -> str:
        """A text, which is needed where there is no default."""
        value = self.content.get(key, default)
        if isinstance(value, str) and (value or default is not None):
            return value
        self.wrong(f"needs {key}, a text", key)
        return default or ""

    def texts(self, key: str) -> list[tuple[int, str]]:
        """The texts of a list, with their places in it."""
        value = self.content.get(key, [])
        if isinstance(value, list) and all(isinstance(text, str) for text in value):
            return list(enumerate(value))
        self.wrong(f"needs a list of texts for {key}", key)
        return []

    def made(self, key: str, make: Callable[[object], T]) -> T | None:
        """What `make` makes of a value; None without one. Its ValueError says what the value has to be."""
        if key not in self.content:
            return None
        try:
            return make(self.content[key])
        except ValueError as error:
            self.wrong(f"is wrong in {key}, which {error}", key)
            return None

    def address(self, key: str, default: str | None = None) -> str:
        """The address of a provider's API."""
        text = self.text(key, default)
        if text and not is_address(text):
            self.wrong(
                f"needs a {key} that is an address: it begins with http:// or https://, and is without a query",
                key,
            )
        return text

    def variable(self, key: str) -> str:
        """The name of a variable of the environment; empty without one."""
        text = self.text(key, "")
        if text and not _VARIABLE.fullmatch(text):
            # It is not repeated: some write the key itself, which nobody else is to read.
            self.wrong(f"needs an {key} that is a variable's name such as OPENAI_API_KEY", key)
        return text


def named_tables(whole: Table, key: str, about: str) -> Iterator[tuple[str, Table | None]]:
    """The tables below `key` by their names; None for what is no table, which is complained of."""
    for name, content in whole.table(key).items():
        table = Table(
            whole.reading, f"{about} {name!r}", (key, name), content if isinstance(content, dict) else {}
        )
        if isinstance(content, dict):
            yield name, table
        else:
            table.wrong("is no table")
            yield name, None


def listed_models(whole: Table, taken: Iterable[str]) -> Iterator[tuple[str, Table]]:
    """The tables of [[models]] with their names, each of which is there once, and none of which is `taken`."""
    entries, seen = whole.content.get("models", []), set(taken)
    if not isinstance(entries, list):
        whole.wrong("each model has to be written under [[models]]", "models")
        return
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            whole.reading.wrong(("models", index), f"model {index + 1} is no table")
            continue
        table = Table(whole.reading, f"model {index + 1}", ("models", index), entry)
        name = table.text("name")
        if name:
            table = Table(whole.reading, f"model {name!r}", table.path, entry)
            if name in seen:
                whole.reading.wrong((*table.path, "name"), f"the name {name!r} is taken already")
            seen.add(name)
        yield name, table


def is_address(text: str) -> bool:
    """Whether a text is an address that paths can be added to."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - reading it judges it
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment
    )
