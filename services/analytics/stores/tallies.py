"""What events and figures say of the same calls."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg import AsyncCursor

from services.analytics.model.balances import NOTHING, Account, FigureTallies, Tallies, Tally, plus
from services.analytics.model.figures import Dimension, Filter, Piece, Question
from services.analytics.stores.covering import Coverage
from services.analytics.stores.layout import UNIT_COLUMNS
from services.analytics.stores.months import first_uuid_at
from services.analytics.stores.questions import Questions
from services.capabilities.metering.model import ServiceType

_OF_EVENTS = """
select s.user_id, s.model, s.status::int, count(*), {units}
from analytics.events e join analytics.series s on s.series_id = e.series_id
where e.event_id >= %(first)s and e.event_id < %(last)s and s.service_type = %(service)s and not s.refused
group by 1, 2, 3""".format(
    units=", ".join(f"coalesce(sum(e.{unit}), 0)::bigint" for unit in UNIT_COLUMNS)
).encode()


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
    """See `ports.UsageStore`. The cursor reads as of one moment."""
    which = Filter({Dimension.SERVICE_TYPE: (service.value,)}, refused=False)
    figures = []
    for group_by in ((Dimension.STATUS, Dimension.USER), (Dimension.STATUS,)):
        found: dict[Account, Tally] = {}
        question = Question((Piece(start, end, 0),), group_by, which)
        for one in await Questions(cursor, kept).sums(question):
            status, user_id = (*one.group, "")[:2]
            account = Account(str(user_id), one.model, int(status))
            found[account] = plus(found.get(account, NOTHING), Tally(one.events, one.quantities))
        figures.append(found)
    return FigureTallies(await event_tallies(cursor, start, end, service), *figures)
