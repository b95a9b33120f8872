"""Where things stand in a TOML file, which the parser does not tell."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

# A step into a table by its key, or into a list by its index.
Step = str | int
Path = tuple[Step, ...]

_AT = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")
# What a statement of several lines can end with.
_CLOSERS = ("]", "}", '"""', "'''")


@dataclass(frozen=True, slots=True)
class NotToml(Exception):
    """A text is not TOML: `what` is wrong, first seen on `line`, which counts from 1."""

    line: int
    what: str


def parse(text: str) -> dict[str, Any]:
    """The text's content, with fractions as exact decimals. Raises NotToml."""
    try:
        return _loads(text)
    except RecursionError:
        raise NotToml(Lines(text).broken, "It is nested too deeply") from None
    except ValueError as error:
        what = str(error)
        at = _AT.search(what)
        if at is None:
            # A number of thousands of digits is refused by Python, which knows no lines.
            raise NotToml(Lines(text).broken, "A number is too long") from None
        what = what[: at.start()]
        if at[1] is None:
            raise NotToml(Lines(text).broken, f"{what}, to the end of the file") from None
        raise NotToml(int(at[1]), f"{what}, at column {at[2]}") from None


def _loads(text: str) -> dict[str, Any]:
    return tomllib.loads(text, parse_float=Decimal)


class Lines:
    """The lines of a text's statements. It parses each by itself, so it is made when something is to be complained of."""

    def __init__(self, text: str) -> None:
        self._lines = text.replace("\r\n", "\n").split("\n")
        # Where things begin to be: the statement, as the lines that it begins on and ends before, from 0, and the table that it adds to.
        self._places: dict[Path, tuple[int, int, Path]] = {}
        self._lengths: dict[Path, int] = {}
        table: Path = ()
        self._begin = 0
        while self._begin < len(self._lines):
            found = self._statement(self._begin)
            if found is None:
                break
            end, content = found
            if self._lines[self._begin].lstrip(" \t").startswith("["):
                table = self._header(content, end)
            else:
                self._note(table, content, (self._begin, end, table))
            self._begin = end

    @property
    def broken(self) -> int:
        """The line, from 1, on which the first statement begins that is none by itself; the last line when all are."""
        return min(self._begin + 1, len(self._lines))

    def of(self, *path: Step) -> int:
        """The line, from 1, on which the thing at `path` is written: the one that its statement begins on, and for an item of a list of
        values the one that the item ends on. For what is not in the file it is the line of the nearest thing around it."""
        while path not in self._places:
            if not path:
                return 1
            path = path[:-1]
        begin, end, table = self._places[path]
        if end - begin > 1:
            begin = self._item(begin, end, path[len(table) :])
        return begin + 1

    def _statement(self, begin: int) -> tuple[int, dict[str, Any]] | None:
        """Where the statement ends that begins on this line, and its content: no part of a statement is one, so it is the first end that
        parses."""
        for end in range(begin + 1, len(self._lines) + 1):
            if end == begin + 1 or any(closer in self._lines[end - 1] for closer in _CLOSERS):
                content = _parsed(self._lines[begin:end])
                if content is not None:
                    return end, content
        return None

    def _header(self, content: Any, end: int) -> Path:
        """Note what a header makes, and return the table that it opens: what it names below a list of tables is in the last of them."""
        path: Path = ()
        place = (self._begin, end, ())
        while content:
            key, content = next(iter(content.items()))
            path = (*path, key)
            self._places.setdefault(path, place)
            if isinstance(content, list):
                self._lengths[path] = self._lengths.get(path, 0) + 1
                content = content[0]
            if path in self._lengths:
                path = (*path, self._lengths[path] - 1)
                self._places.setdefault(path, place)
        return path

    def _note(self, path: Path, content: Any, place: tuple[int, int, Path]) -> None:
        steps = content.items() if isinstance(content, dict) else enumerate(content)
        for step, below in steps:
            self._places.setdefault((*path, step), place)
            if isinstance(below, dict | list):
                self._note((*path, step), below, place)

    def _item(self, begin: int, end: int, path: Path) -> int:
        """The line, from 0, that an item of a list ends on: the first one behind which the list can be closed and has the item. The
        statement's first line for all else."""
        for line in range(begin, end):
            closed = _parsed([*self._lines[begin : line + 1], "]"])
            if closed is not None and _has(closed, path):
                return line
        return begin


def _parsed(lines: Iterable[str]) -> dict[str, Any] | None:
    try:
        return _loads("\n".join(lines))
    except (ValueError, RecursionError):
        return None


def _has(content: Any, path: Path) -> bool:
    for step in path:
        if isinstance(step, int):
            if not isinstance(content, list) or step >= len(content):
                return False
        elif not isinstance(content, dict) or step not in content:
            return False
        content = content[step]
    return True
