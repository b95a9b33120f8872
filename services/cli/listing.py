"""Lists of things that have long texts, or columns that often say nothing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

from services.cli.output import FOLDED, flat

Row = tuple[str, ...]


def cut(text: str, columns: int) -> str:
    """`text` on one line, which takes at most so many columns of a terminal."""
    from rich.cells import cell_len, set_cell_size

    whole = flat(text)
    if cell_len(whole) <= columns:
        return whole
    return f"{set_cell_size(whole, max(0, columns - 1)).rstrip()}…"


def with_last_cut(headers: Sequence[str], rows: Sequence[Row]) -> Sequence[Row]:
    """Rows whose last cells, texts of any length, are cut to what a terminal has left for them. In a pipe they stay whole."""
    if not sys.stdout.isatty() or not rows:
        return rows
    columns = shutil.get_terminal_size().columns
    taken = sum(max(map(len, column)) for column in list(zip(headers, *rows, strict=True))[:-1])
    left = columns - taken - 3 * (len(headers) - 1)
    # Where no table fits, the text has a line of its own, behind its name.
    room = left if left >= FOLDED else columns - len(f"  {headers[-1]}: ")
    return [(*row[:-1], cut(row[-1], room)) for row in rows]


def without_silent(headers: Row, rows: Sequence[Row]) -> tuple[Row, Sequence[Row]]:
    """Headers and rows without the columns that say nothing: on a terminal they would take room from those that do. In a pipe each has its
    place."""
    if not sys.stdout.isatty():
        return headers, rows
    told = [number for number in range(len(headers)) if any(row[number] for row in rows)]
    return tuple(headers[number] for number in told), [tuple(row[number] for number in told) for row in rows]
