"""What Speech's tables hold, read past the suite."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from tools.survival.ledger import SqlLedger

COMMITTED = "what comes behind a row"
"""What may be looked for beside tables that are held up."""

_LOOK_SECONDS = 0.003
_COMMITTED_SECONDS = 5.0

_CONVERSIONS = """
select conversion_id::text, user_id, (created_at at time zone 'utc')::date, text, format, characters, sample_rate, duration_seconds::float8,
       file_size_bytes, encode(sha256, 'hex'), s3_key, coalesce(s3_bucket, ''), coalesce(metadata ->> 'request_id', '')
from speech.tts_conversions
"""
_GENERATIONS = """
select generation_id::text, caller, coalesce(request_id::text, ''), operation, state, event_id::text, user_id, model, event_status::int,
       asked_characters, coalesce(characters, 0), coalesce(audio_milliseconds, 0)
from speech.generations
"""
# A removal is repeated ten minutes later, in case that whoever was taken for dead still writes. All are dead for good here: it is done now.
_HASTEN = """
update speech.removals set due_at = clock_timestamp()
where repeating and due_at > clock_timestamp() + interval '1 minute'
"""
_LEFT = """
select (select count(*) from speech.generations where state = 'running'), (select count(*) from speech.removals),
       (select count(*) from speech.outbox)
"""
_NEWEST = "select coalesce(max(id), 0) from speech.tts_conversions"
# Whatever ended without a conversion has given its claim up.
_STALE_CLAIMS = """
select c.request_id::text from speech.claims c left join speech.generations g on g.generation_id = c.resource_id
where g.state is distinct from 'completed'
"""


class Row(NamedTuple):
    """A conversion of the table. `day` is the UTC day on which it was made."""

    conversion_id: str
    user_id: str
    day: date
    text: str
    format: str
    characters: int
    sample_rate: int
    duration_seconds: float
    size_bytes: int
    sha256: str
    s3_key: str
    s3_bucket: str
    request_id: str


class Made(NamedTuple):
    """A generation. `asked` is how long its text is, `characters` how many of them it has used."""

    generation_id: str
    caller: str
    request_id: str
    operation: str
    state: str
    event_id: str | None
    user_id: str
    model: str
    status: int | None
    asked: int
    characters: int
    milliseconds: int


class Left(NamedTuple):
    """What is still to be done: generations that run, removals, usage events that wait."""

    running: int
    removals: int
    events: int


class Tables:
    """The tables of Speech."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._tables = SqlLedger(url)

    async def rows(self) -> Mapping[str, Row]:
        """The conversions, by their ids."""
        return {row[0]: Row._make(row) for row in await self._read(_CONVERSIONS)}

    async def generations(self) -> Sequence[Made]:
        """All generations."""
        return [Made._make(row) for row in await self._read(_GENERATIONS)]

    async def stale_claims(self) -> Sequence[str]:
        """The request_ids whose claims stand for nothing that was made."""
        return [row[0] for row in await self._read(_STALE_CLAIMS)]

    async def left(self) -> Left:
        """What is still to be done; what has to wait is due at once."""
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            await connection.execute(_HASTEN)
            row = await (await connection.execute(_LEFT)).fetchone()
        assert row is not None
        return Left._make(row)

    @asynccontextmanager
    async def held_up(self, table: str, replicas: Sequence[str], seconds: float) -> AsyncIterator[None]:
        """Hold writes of a table up for so long, and go on to do so while the block runs, in which the replicas have to be killed: with its end they
        lose what they wanted to write. `table` may be COMMITTED: then the block runs as soon as there is a new conversion, if one comes."""
        if table == COMMITTED:
            await self._new_conversion()
            yield
            return
        async with self._tables.lost_writes(replicas, table):
            await asyncio.sleep(seconds)
            yield

    async def _new_conversion(self) -> None:
        end, before = time.monotonic() + _COMMITTED_SECONDS, -1
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            while time.monotonic() < end:
                row = await (await connection.execute(_NEWEST)).fetchone()
                assert row is not None
                if 0 <= before < row[0]:
                    return
                before = row[0]
                await asyncio.sleep(_LOOK_SECONDS)

    async def _read(self, statement: str) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            return await (await connection.execute(sql.SQL(statement))).fetchall()
