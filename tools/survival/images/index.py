"""What Image's tables hold, read past the suite."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from tools.survival.ledger import SqlLedger, end_connections

FILED = "what is filed"
"""What may be held up beside tables."""

_LOOK_SECONDS = 0.003

_IMAGES = """
select image_id::text, generation_id::text, user_id, (created_at at time zone 'utc')::date, encode(sha256, 'hex'), size_bytes
from image.images
"""
_GENERATIONS = """
select generation_id::text, caller, coalesce(request_id::text, ''), state, event_id::text, user_id, model,
       event_status::int, coalesce(images, 0), image_ids::text[]
from image.generations
"""
# A removal is repeated ten minutes later, in case that whoever was taken for dead still writes. All are dead for good here: it is done now.
_HASTEN = """
update image.filings set due_at = clock_timestamp()
where change in ('remove', 'discard') and attempts = 0 and due_at > clock_timestamp() + interval '1 minute'
"""
_LEFT = """
select (select count(*) from image.generations where state = 'running'), (select count(*) from image.filings),
       (select count(*) from image.outbox)
"""


class Row(NamedTuple):
    """An image of the index. `day` is the UTC day on which it was made."""

    image_id: str
    generation_id: str
    user_id: str
    day: date
    sha256: str
    size_bytes: int


class Made(NamedTuple):
    """A generation."""

    generation_id: str
    caller: str
    request_id: str
    state: str
    event_id: str | None
    user_id: str
    model: str
    status: int | None
    images: int
    image_ids: Sequence[str]


class Left(NamedTuple):
    """What is still to be done: generations that run, filings, usage events that wait."""

    running: int
    filings: int
    events: int


class Index:
    """The tables of Image."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._tables = SqlLedger(url)

    async def rows(self) -> Mapping[str, Row]:
        """The images, by their ids."""
        return {row[0]: Row._make(row) for row in await self._read(_IMAGES)}

    async def generations(self) -> Sequence[Made]:
        """All generations."""
        return [Made._make(row) for row in await self._read(_GENERATIONS)]

    async def left(self, *, hasten: bool) -> Left:
        """What is still to be done; with `hasten` what has to wait is due at once."""
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            if hasten:
                await connection.execute(_HASTEN)
            row = await (await connection.execute(_LEFT)).fetchone()
        assert row is not None
        return Left._make(row)

    @asynccontextmanager
    async def held_up(self, what: str, replicas: Sequence[str], seconds: float) -> AsyncIterator[None]:
        """Hold writes up for so long, and go on to do so while the block runs, in which the replicas have to be killed: with its end they lose what they
        wanted to write. `what` is a table, or FILED: then what is filed is done, and can't be forgotten."""
        if what == FILED:
            async with self._unforgotten(replicas, seconds):
                yield
            return
        async with self._tables.lost_writes(replicas, what):
            await asyncio.sleep(seconds)
            yield

    @asynccontextmanager
    async def _unforgotten(self, replicas: Sequence[str], seconds: float) -> AsyncIterator[None]:
        end = time.monotonic() + seconds
        async with await psycopg.AsyncConnection.connect(self._url) as connection:
            while time.monotonic() < end:
                # Each statement sees the filings that have come meanwhile, and keeps them until the end.
                await connection.execute("select from image.filings for update skip locked")
                await asyncio.sleep(_LOOK_SECONDS)
            yield
            await end_connections(connection, replicas)

    async def _read(self, statement: str) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            return await (await connection.execute(sql.SQL(statement))).fetchall()
