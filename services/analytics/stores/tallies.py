"""What events and figures say of the same calls."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg import AsyncCursor

from services.analytics.model.balances import Account, FigureTallies, Tallies, Tally, by_model
from services.analytics.stores.covering import Coverage, Grain
from services.analytics.stores.layout import SYSTEM_TABLES, UNIT_COLUMNS, USER_TABLES
from services.analytics.stores.months import first_uuid_at
from services.capabilities.metering.model import ServiceType

_OF_EVENTS = """
select s.user_id, s.model, s.status::int, count(*), {units}
from analytics.events e join analytics.series s on s.series_id = e.series_id
where e.event_id >= %(first)s and e.event_id < %(last)s and s.service_type = %(service)s and not s.refused
group by 1, 2, 3""".format(
    units=", ".join(f"coalesce(sum(e.{unit}), 0)::bigint" for unit in UNIT_COLUMNS)
).encode()


# Those of the system name nobody.
_OF_FIGURES = """
select coalesce(s.user_id, ''), s.model, s.status::int, sum(f.events)::bigint, {units}
from (
    select series_id, events, {columns} from analytics.{{table}} where interval_start >= %(start)s and interval_start < %(end)s
    union all
    select {{key}}, events, {columns} from analytics.unfolded where interval_start >= %(start)s and interval_start < %(end)s
) f join analytics.series s on s.series_id = f.series_id
where s.service_type = %(service)s and not s.refused
group by 1, 2, 3""".format(
    units=", ".join(f"sum(f.{unit})::bigint" for unit in UNIT_COLUMNS), columns=", ".join(UNIT_COLUMNS)
)


async def event_tallies(
    cursor: AsyncCursor[Any], start: datetime, end: datetime, service: ServiceType
) -> Tallies:
    """See `ports.UsageStore`."""
    values = {"first": first_uuid_at(start), "last": first_uuid_at(end), "service": service.value}
    await cursor.execute(_OF_EVENTS, values, prepare=False)
    return {Account(*row[:3]): Tally(row[3], tuple(row[4:])) for row in await cursor.fetchall()}


async def figure_tallies(
    cursor: AsyncCursor[Any], kept: Coverage, start: datetime, end: datetime, service: ServiceType
) -> FigureTallies:
    """See `ports.UsageStore`. The cursor reads as of one moment. All tables whose intervals fit the span are looked at; told are those of the first
    that differs from the events."""
    events = await event_tallies(cursor, start, end, service)
    values = {"start": start, "end": end, "service": service.value}
    people, system = events, by_model(events)
    for tables, key, of_events in (
        (USER_TABLES, "series_id", events),
        (SYSTEM_TABLES, "system_id", by_model(events)),
    ):
        for grain, table in tables.items():
            fits = grain.before(start) == start and grain.before(end) == end
            if not fits or (grain is Grain.MINUTE and start < kept.minutes_from):
                continue
            await cursor.execute(_OF_FIGURES.format(table=table, key=key).encode(), values, prepare=False)
            found = {
                Account(*row[:3]): Tally(row[3], tuple(row[4:])) for row in await cursor.fetchall() if row[3]
            }
            if found != of_events:
                if tables is USER_TABLES:
                    people = found
                else:
                    system = found
                break
    return FigureTallies(events, people, system)
