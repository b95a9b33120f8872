"""Counts in PostgreSQL, which all replicas of a service share."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable, Mapping, Sequence

from services.capabilities.limits.model import WINDOW_SECONDS, Count
from services.capabilities.limits.stores.gathering import ANSWER_SECONDS, GatheredCounts, Key, Window
from services.infra.postgres.binary import bigints, texts
from services.infra.postgres.database import Database

_PRUNE_BATCH = 1000
_SCHEMA = re.compile(r"[a-z][a-z0-9_]{0,62}")
_bigint = struct.Struct("!q").unpack


class SqlCounters:
    """Keeps the promises of Counters by one statement on one row per class and caller, with the database's clock; see GatheredCounts for
    what happens around it. `aclose` at the end.
    """

    def __init__(
        self,
        database: Database,
        schema: str,
        *,
        window: float = WINDOW_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`schema` has the table of `ddl`. A statement may take `answer_seconds`, the making of a connection included."""
        if not _SCHEMA.fullmatch(schema):
            raise ValueError(f"{schema!r} is not the name of a schema")
        self._database = database
        length = f"interval '{round(window * 1_000_000)} microseconds'"
        self._take = database.dedicated(_take(schema, length, answer_seconds), _settings(answer_seconds))
        self._prune = _prune(schema, length).encode()
        self._counts = GatheredCounts(schema, self._raise, answer_seconds=answer_seconds, clock=clock)

    async def take(self, name: str, caller: str, limit: int) -> Count:
        """See `Counters`."""
        return await self._counts.take(name, caller, limit)

    async def prune(self) -> int:
        """See `Counters`."""
        self._counts.forget_ended()
        async with self._database.connection() as connection:
            cursor = await connection.execute(self._prune)
            return cursor.rowcount

    async def warm(self) -> None:
        """Connect and prepare the statement, so that the first call does not wait for it. Raises Unavailable."""
        await self._counts.warm()

    async def aclose(self) -> None:
        """Tell who waits Unavailable, and close the connection."""
        await self._counts.aclose()
        await self._take.close()

    async def _raise(self, keys: Sequence[Key], wanted: Sequence[int]) -> Mapping[Key, Window]:
        names, callers = [name for name, _ in keys], [caller for _, caller in keys]
        rows = await self._take.execute([texts(names), texts(callers), bigints(wanted)])
        found = {
            (name, caller): Window(_number(used), max(0.0, _number(left) / 1_000_000))
            for name, caller, used, left in rows
        }
        return {key: found[key[0].encode(), key[1].encode()] for key in keys}


def _number(value: bytes | None) -> int:
    assert value is not None
    number: int = _bigint(value)[0]
    return number


def _settings(seconds: float) -> str:
    milliseconds = max(1, round(seconds * 1000))
    return (
        f"set statement_timeout = {milliseconds}; set synchronous_commit = off;"
        " set enable_seqscan = off; set plan_cache_mode = force_generic_plan"
    )


def _take(schema: str, length: str, answer_seconds: float) -> str:
    # A statement that waits for a row may find a window there that began after it was sent, by as much as it may wait. Windows that
    # begin further in the future are those of a clock that was set back, and count for nothing.
    ahead = f"interval '{round(answer_seconds * 1_000_000)} microseconds'"
    ended = f"excluded.began_at not between held.began_at - {ahead} and held.began_at + {length} - interval '1 microsecond'"
    # In one order, so that statements of two replicas never wait for one another in a circle.
    return f"""
        insert into {schema}.limits as held (class, caller, began_at, used)
        select asked.class, asked.caller, clock_timestamp(), asked.wanted
        from unnest($1::text[], $2::text[], $3::bigint[]) as asked (class, caller, wanted)
        order by asked.class collate "C", asked.caller collate "C"
        on conflict (class, caller) do update set
            began_at = case when {ended} then excluded.began_at else held.began_at end,
            used = case when {ended} then excluded.used else held.used + excluded.used end
        returning class, caller, used,
            (extract(epoch from began_at + {length} - clock_timestamp()) * 1000000)::bigint
    """


def _prune(schema: str, length: str) -> str:
    return f"""
        delete from {schema}.limits where (class, caller) in (
            select class, caller from {schema}.limits where began_at <= clock_timestamp() - {length}
            order by began_at limit {_PRUNE_BATCH} for update skip locked
        )
    """
