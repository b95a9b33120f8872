"""Adds what batches counted to the figures, and makes the figures of a day anew.

Only whoever has FOLD_LOCK changes figures, so one process at a time does; all that it does is one step for those who read.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from services.analytics.stores.covering import Grain
from services.analytics.stores.ingest import SUMMED_UP
from services.analytics.stores.layout import (
    BUCKET,
    CALLER_TABLES,
    DAY_LOCK,
    FIGURE_TABLES,
    FOLD_LOCK,
    ITEM,
    SYSTEM_TABLES,
    UNIT_COLUMNS,
    USER_TABLES,
    interval_of,
)
from services.analytics.stores.months import first_uuid_at, kept_from
from services.infra.postgres.database import Connection, Database

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBERS = ("events", *UNIT_COLUMNS)
_HISTOGRAMS = ("latency", "first_token")
_COLUMNS = ", ".join(("interval_start", "series_id", *_NUMBERS, *_HISTOGRAMS))
_ADDED = ", ".join(f"sum({column})::bigint as {column}" for column in _NUMBERS)
_SUMS = [f"{column} = f.{column} + excluded.{column}" for column in _NUMBERS]
# Up to so many items a histogram may have several of the same bucket, which is cheaper than to add them up each time.
_LOOSE_ITEMS = 48
_MINUTES_KEPT = timedelta(days=3)
_STEP = 5000


def _compact(items: str) -> str:
    """The items of a histogram, those of a bucket as one."""
    return f"(select array_agg(item) from (select {ITEM} as item from unnest({items}) item group by {BUCKET}) compact)"


def _of_system(grain: Grain, source: str, key: str) -> str:
    """Figures of the grain that rows of finer ones add up to: many rows, and histograms with all buckets."""
    found = f"{interval_of(grain, 'interval_start')} as interval_start, {key} as series_id"
    histograms = "".join(
        f"""
        left join (
            select interval_start, series_id, array_agg(item) as {name} from (
                select {found}, {ITEM} as item from {source}, unnest({name}) item group by 1, 2, {BUCKET}
            ) buckets group by 1, 2
        ) {name} using (interval_start, series_id)"""
        for name in _HISTOGRAMS
    )
    return f"""
    select {_COLUMNS} from (select {found}, {_ADDED} from {source} group by 1, 2) added {histograms}"""


def _of_people(grain: Grain, source: str) -> str:
    """The same of people, where few rows add up to one."""
    joined = ", ".join(f"analytics.joined({name}) as {name}" for name in _HISTOGRAMS)
    return f"""
    select {interval_of(grain, "interval_start")} as interval_start, series_id, {_ADDED}, {joined} from {source} group by 1, 2"""


def _kept_of_system(grain: Grain, rows: str) -> str:
    """Add figures to those of the system that are there."""
    histograms = ", ".join(f"analytics.histogram({name})" for name in _HISTOGRAMS)
    sums = [f"{name} = analytics.added(f.{name}, excluded.{name})" for name in _HISTOGRAMS]
    return f"""
    insert into analytics.{SYSTEM_TABLES[grain]} as f ({_COLUMNS})
    select interval_start, series_id, {", ".join(_NUMBERS)}, {histograms} from {rows}
    on conflict (interval_start, series_id) do update set {", ".join([*_SUMS, *sums])}"""


def _kept_of_people(grain: Grain, rows: str) -> str:
    """Add figures to those of people that are there."""
    sums = []
    for name in _HISTOGRAMS:
        both = f"(f.{name} || excluded.{name})"
        sums.append(
            f"{name} = case when coalesce(cardinality{both}, 0) <= {_LOOSE_ITEMS} then {both} else {_compact(both)} end"
        )
    return f"""
    insert into analytics.{USER_TABLES[grain]} as f ({_COLUMNS}) {rows}
    on conflict (series_id, interval_start) do update set {", ".join([*_SUMS, *sums])}"""


def _of_callers(grain: Grain, source: str) -> str:
    """How often people called in intervals of the grain."""
    return f"""
    select {interval_of(grain, "interval_start")} as interval_start, service_type, user_id, sum(events)::bigint as events
    from {source} group by 1, 2, 3"""


def _kept_of_callers(grain: Grain, rows: str) -> str:
    """Add calls to those of people that are there."""
    return f"""
    insert into analytics.{CALLER_TABLES[grain]} as c (interval_start, service_type, user_id, events) {rows} order by 1, 2, 3
    on conflict (interval_start, service_type, user_id) do update set events = c.events + excluded.events"""


# Each series is looked up once, and by its index: of all that there are, few have called just now.
_CALLS = f"""
select interval_start, service_type, user_id, events
from (
    select {interval_of(Grain.HOUR, "interval_start")} as interval_start, series_id, sum(events)::bigint as events
    from theirs group by 1, 2
) called
join (
    select series_id, service_type, user_id from analytics.series where series_id = any (array(select series_id from theirs))
) s using (series_id)"""


def _fold() -> str:
    """Each coarser figure is added up from the next finer one."""
    minute, quarter, day = Grain.MINUTE, Grain.QUARTER, Grain.DAY
    steps = {
        "taken": "delete from analytics.unfolded returning *",
        "minutes": _of_system(minute, "taken", "system_id"),
        "quarters": _of_system(quarter, "minutes", "series_id"),
        "hours": _of_system(Grain.HOUR, "quarters", "series_id"),
        "theirs": _of_people(quarter, "taken"),
        "days": _of_system(day, "hours", "series_id"),
        "kept_minutes": _kept_of_system(minute, "minutes where interval_start >= %(minutes_from)s"),
        "kept_quarters": _kept_of_system(quarter, "quarters"),
        "kept_hours": _kept_of_system(Grain.HOUR, "hours"),
        "kept_days": _kept_of_system(day, "days"),
        "their_quarters": _kept_of_people(quarter, "select * from theirs order by 1, 2"),
        "their_days": _kept_of_people(day, _of_people(day, "theirs")),
        "calls": _CALLS,
        "callers": _of_callers(Grain.HOUR, "calls"),
        "caller_hours": _kept_of_callers(Grain.HOUR, "select * from callers"),
        "caller_days": _kept_of_callers(day, _of_callers(day, "callers")),
    }
    return (
        "with "
        + ", ".join(f"{name} as ({sql})" for name, sql in steps.items())
        + " select from taken limit 0"
    )


_FOLD = _fold()
# How many rows there are to fold can't be told beforehand, and few would be taken for granted.
_SETTINGS = "set local enable_nestloop = off; set local statement_timeout = '10min'; set local jit = off"

_FROM_EVENTS = f"""
with fresh as (select * from analytics.events where event_id >= %(first)s and event_id < %(last)s)
{SUMMED_UP} join analytics.series k on k.series_id = s.series_id
"""


class Folding:
    """Changes figures. All methods raise Unavailable; each is done as a whole or not at all."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fold(self) -> bool:
        """Add what batches counted to the figures. False when another process is at it."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute("select pg_try_advisory_xact_lock(%s, 0)", (FOLD_LOCK,))
            row = await cursor.fetchone()
            if row is None or not row[0]:
                return False
            await connection.execute(_SETTINGS)
            await _fold_all(connection)
            return True

    async def rebuild(self, day: date, events_from: datetime) -> bool:
        """Make the figures of a day anew from its events. False when events from before `events_from` are not kept and it is such a day."""
        number = (day - _EPOCH.date()).days
        start = _EPOCH + timedelta(days=number)
        span = {"start": start, "end": start + timedelta(days=1)}
        async with self._database.transaction() as connection:
            await connection.execute(_SETTINGS)
            await connection.execute("select pg_advisory_xact_lock(%s, 0)", (FOLD_LOCK,))
            # Whoever records events of the day has done so by now, or waits.
            await connection.execute("select pg_advisory_xact_lock(%s, %s)", (DAY_LOCK, number))
            dropped = await kept_from(connection)
            if start < events_from or (dropped is not None and start < dropped):
                return False
            for table in (*FIGURE_TABLES, "unfolded"):
                await connection.execute(
                    f"delete from analytics.{table} where interval_start >= %(start)s and interval_start < %(end)s".encode(),
                    span,
                )
            ids = {"first": first_uuid_at(span["start"]), "last": first_uuid_at(span["end"])}
            await connection.execute(_FROM_EVENTS.encode(), ids)
            await _fold_all(connection)
            return True

    async def forget_before(self, oldest: datetime) -> None:
        """Forget figures of times before `oldest`, and those of minutes that nobody asks for any more."""
        for table in FIGURE_TABLES:
            kept = max(oldest, minutes_from()) if table == SYSTEM_TABLES[Grain.MINUTE] else oldest
            statement = f"""delete from analytics.{table} where ctid = any (array(
                select ctid from analytics.{table} where interval_start < %s limit {_STEP}))""".encode()
            removed = _STEP
            while removed >= _STEP:
                async with self._database.transaction() as connection:
                    await connection.execute("select pg_advisory_xact_lock(%s, 0)", (FOLD_LOCK,))
                    removed = (await connection.execute(statement, (kept,))).rowcount


def minutes_from() -> datetime:
    """From when on figures of minutes are kept."""
    return datetime.now(UTC) - _MINUTES_KEPT


async def _fold_all(connection: Connection) -> None:
    await connection.execute(_FOLD.encode(), {"minutes_from": minutes_from()})
