"""What Analytics keeps of usage, read past the suite: events, and what each table of figures adds up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import psycopg
from psycopg import sql

from services.analytics.model.events import UNITS

Tally = tuple[int, ...]
"""How many calls, their quantities by UNITS, and how many of them have a latency and a time to the first token."""


class Account(NamedTuple):
    """Calls that are counted together. `user_id` is empty for anonymous callers, and in figures of the whole system."""

    user_id: str
    model: str
    status: int
    refused: bool


Accounts = Mapping[Account, Tally]


@dataclass(frozen=True, slots=True)
class Kept:
    """What there is, all as of one moment. `event_ids` are of calls in which something began, `refused` counts the others by their projects;
    figures are by the names of their tables, each with what was not added to it yet, and `callers` have only how many calls each person made."""

    event_ids: frozenset[str]
    refused: Counter[str]
    events: Accounts
    system: Mapping[str, Accounts]
    people: Mapping[str, Accounts]
    rejected: int
    callers: Mapping[str, Counter[str]] = field(default_factory=dict)


class UsageLedger(Protocol):
    """What the store of Analytics holds."""

    async def kept(self) -> Kept:
        """All of it."""
        ...

    async def close(self) -> None:
        """End its connections."""
        ...


def plus(one: Tally, other: Tally) -> Tally:
    """Both together."""
    return tuple(a + b for a, b in zip(one, other, strict=True))


def without_people(accounts: Accounts) -> dict[Account, Tally]:
    """What the figures of the whole system say of the same calls."""
    return added((account._replace(user_id=""), tally) for account, tally in accounts.items())


def begun(accounts: Accounts) -> dict[Account, Tally]:
    """What a service has in its books: calls in which something began, without how long they took."""
    return {account: tally[: 1 + len(UNITS)] for account, tally in accounts.items() if not account.refused}


def added(rows: Iterable[tuple[Account, Tally]]) -> dict[Account, Tally]:
    """The rows of each account together."""
    found: dict[Account, Tally] = {}
    for account, tally in rows:
        found[account] = plus(found[account], tally) if account in found else tally
    return found


_SYSTEM = ("system_minutes", "system_quarters", "system_hours", "system_days")
_PEOPLE = ("user_quarters", "user_days")
_CALLER_TABLES = ("caller_hours", "caller_days")
_UNITS = tuple(unit.name.lower() for unit in UNITS)
_ACCOUNT = "coalesce(s.user_id, ''), s.model, s.status::int, s.refused"
_EVENTS = f"""
select {_ACCOUNT}, count(*), {", ".join(f"coalesce(sum(e.{unit}), 0)::bigint" for unit in _UNITS)},
       count(e.latency_bucket), count(e.first_token_bucket)
from analytics.events e join analytics.series s using (series_id) group by 1, 2, 3, 4
"""
_FIGURES = """
select {account}, sum(f.events)::bigint, {units}, sum(f.latencies)::bigint, sum(f.first_tokens)::bigint
from (
    select series_id, events, {plain}, {durations} from analytics.{table}
    union all
    select {key}, events, {plain}, {items} from analytics.unfolded
) f join analytics.series s using (series_id) group by 1, 2, 3, 4
"""
# Figures of the system have a histogram's first bucket and then the counts of all from there on; others have items, each with its
# count above eleven bits of its bucket.
_COUNTS, _ITEMS = (
    ", ".join(
        f"(select coalesce(sum({count}), 0) from unnest({column}{part}) item) as {name}"
        for column, name in (("latency", "latencies"), ("first_token", "first_tokens"))
    )
    for count, part in (("item", "[2:]"), ("item >> 11", ""))
)
_CALLERS = """
select user_id, sum(events)::bigint from (
    select user_id, events from analytics.{table}
    union all
    select s.user_id, f.events from analytics.unfolded f join analytics.series s using (series_id)
) f group by 1
"""


class SqlUsageLedger:
    """The store on PostgreSQL."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def kept(self) -> Kept:
        """As the protocol says."""
        async with await psycopg.AsyncConnection.connect(self._url) as connection:
            await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            began = await _rows(
                connection,
                "select event_id::text from analytics.events join analytics.series using (series_id) where not refused",
            )
            refused = await _rows(
                connection,
                "select project, count(*) from analytics.events join analytics.series using (series_id) where refused group by 1",
            )
            rejected = await _rows(connection, "select count(*) from analytics.rejected_events")
            return Kept(
                frozenset(row[0] for row in began),
                Counter(dict(refused)),
                _accounts(await _rows(connection, _EVENTS)),
                {table: await _figures(connection, table, "system_id", _COUNTS) for table in _SYSTEM},
                {table: await _figures(connection, table, "series_id", _ITEMS) for table in _PEOPLE},
                rejected[0][0],
                {
                    table: Counter(dict(await _rows(connection, _CALLERS.format(table=table))))
                    for table in _CALLER_TABLES
                },
            )

    async def close(self) -> None:
        """Nothing: it connects anew each time."""


async def _figures(
    connection: psycopg.AsyncConnection[Any], table: str, key: str, durations: str
) -> Accounts:
    statement = _FIGURES.format(
        account=_ACCOUNT,
        units=", ".join(f"sum(f.{unit})::bigint" for unit in _UNITS),
        plain=", ".join(_UNITS),
        durations=durations,
        items=_ITEMS,
        table=table,
        key=key,
    )
    return _accounts(await _rows(connection, statement))


async def _rows(connection: psycopg.AsyncConnection[Any], statement: str) -> list[tuple[Any, ...]]:
    return await (await connection.execute(sql.SQL(statement))).fetchall()


def _accounts(rows: Iterable[tuple[Any, ...]]) -> dict[Account, Tally]:
    return {Account(*row[:4]): tuple(int(number) for number in row[4:]) for row in rows}
