"""Pages of rows, newest first, that stay below what a response has room for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kernel.paging import PageRequest

# Clients take 4 MiB at once by default.
_PAGE_BYTES = 3 * 1024**2


async def newest_first(
    connection: AsyncConnection,
    table: sa.Table,
    key: sa.Column[Any],
    size: sa.ColumnElement[int],
    wanted: Sequence[sa.ColumnElement[bool]],
    page: PageRequest,
) -> tuple[list[Any], str | None, int]:
    """The rows of a page, the key of the last one when more follow, and how many the list has in all.

    Keys and sizes are read first, so that no more rows are fetched than a response has room for.
    """
    later = wanted if page.after is None else [*wanted, key < page.after]
    keys = sa.select(key, size).where(*later).order_by(key.desc()).limit(page.size + 1).offset(page.skip)
    count = sa.select(sa.func.count()).select_from(table).where(*wanted)
    sized = list(await connection.execute(keys))
    fitting = fitting_keys([(str(found), bytes_) for found, bytes_ in sized], page.size)
    rows_of_page = sa.select(table).where(key.in_(fitting)).order_by(key.desc())
    found = list(await connection.execute(rows_of_page)) if fitting else []
    total = (await connection.execute(count)).scalar_one()
    return found, fitting[-1] if len(sized) > len(fitting) else None, total


def fitting_keys(sized: Sequence[tuple[str, int]], most: int) -> list[str]:
    """The keys of the first rows, as many as a page has room for, and at least one."""
    fitting: list[str] = []
    room = _PAGE_BYTES
    for key, size in sized[:most]:
        room -= size
        if room < 0 and fitting:
            break
        fitting.append(key)
    return fitting
