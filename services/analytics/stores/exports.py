"""Single events, in the order of their ids."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from services.analytics.model.events import RecordedEvent, Series
from services.analytics.model.figures import Filter
from services.analytics.stores.layout import UNIT_COLUMNS
from services.analytics.stores.months import first_uuid_at
from services.analytics.stores.questions import reading
from services.analytics.stores.series import SERIES_COLUMNS
from services.analytics.stores.sources import Conditions
from services.infra.postgres.database import Database

_FEW_SERIES = 200

_MICROSECONDS = "(extract(epoch from e.{0}) * 1000000)::bigint"
_UNITS = ", ".join(f"coalesce(e.{unit}, 0)" for unit in UNIT_COLUMNS)
_EVENT = f"""
select e.event_id::text, {_MICROSECONDS.format("ended_at")}, {_MICROSECONDS.format("started_at")}, e.latency,
       coalesce(e.first_token, -1), e.session_id, e.request_id, {SERIES_COLUMNS}, {_UNITS}"""
_OWN = 7
_SPAN = "e.event_id >= %(first)s and e.event_id < %(last)s and e.event_id > %(after)s"

# Of few series, each one's next events are found by its index; otherwise events are read in their order until there are enough.
_OF_FEW = f"""{_EVENT}
from (
    select e.* from unnest(%(series_ids)s::bigint[]) w (series_id) cross join lateral (
        select * from analytics.events e where e.series_id = w.series_id and {_SPAN} order by e.event_id limit %(limit)s
    ) e order by e.event_id limit %(limit)s
) e join analytics.series s on s.series_id = e.series_id order by e.event_id"""
_OF_MANY = f"""{_EVENT}
from analytics.events e join analytics.series s on s.series_id = e.series_id
where {_SPAN} and {{wanted}} order by e.event_id limit %(limit)s"""


async def events(
    database: Database, start: datetime, end: datetime, which: Filter, after: str, limit: int
) -> list[RecordedEvent]:
    """See `ports.UsageStore`."""
    conditions = Conditions()
    conditions.add_filter(which)
    values = {
        **conditions.values,
        "first": first_uuid_at(start),
        "last": first_uuid_at(end),
        "after": UUID(after) if after else UUID(int=0),
        "limit": limit,
        "most": _FEW_SERIES + 1,
    }
    wanted = " and ".join(conditions.texts) or "true"
    async with reading(database) as cursor:
        statement = _OF_MANY.format(wanted=wanted)
        if conditions.texts:
            await cursor.execute(
                f"select series_id from analytics.series where system_id is not null and {wanted} limit %(most)s".encode(),
                values,
                prepare=False,
            )
            series_ids = [row[0] for row in await cursor.fetchall()]
            if len(series_ids) <= _FEW_SERIES:
                statement, values["series_ids"] = _OF_FEW, series_ids
        await cursor.execute(statement.encode(), values, prepare=False)
        rows = await cursor.fetchall()
    return [_event(row) for row in rows]


def _event(row: Sequence[Any]) -> RecordedEvent:
    width = len(Series._fields)
    event_id, end_time, start_time, latency, first_token, session_id, request_id = row[:_OWN]
    series = Series(*row[_OWN : _OWN + width])
    quantities = tuple(row[_OWN + width :])
    return RecordedEvent(
        event_id, series, end_time, start_time, latency, first_token, session_id, request_id, quantities
    )
