"""Usage events of generations that have ended, for their delivery once more."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from services.capabilities.metering import outbox
from services.capabilities.metering.model import Redelivered
from services.chat.generation.endings import usage_event_again
from services.chat.stores import rows, statements
from services.infra.postgres.database import Database
from services.kernel.ids import first_id_at

_COLUMNS = 22
_BEFORE_ALL = str(UUID(int=0))


async def pending(database: Database, start: datetime, end: datetime) -> int:
    """How many events of generations, made in [start, end), wait in the outbox."""
    async with database.connection() as connection:
        span = {"first": first_id_at(start), "last": first_id_at(end)}
        cursor = await connection.execute(statements.PENDING.encode(), span)
        row = await cursor.fetchone()
    return 0 if row is None else int(row[0])


async def redelivered(
    database: Database, start: datetime, end: datetime, after: str, limit: int
) -> Redelivered:
    """See `RecordStore.redeliver`."""
    values = {
        "first": first_id_at(start),
        "last": first_id_at(end),
        "after": after or _BEFORE_ALL,
        "limit": limit,
    }
    async with database.transaction() as connection:
        cursor = await connection.execute(statements.TOLD.encode(), values)
        events = [
            usage_event_again(
                rows.generation(row),
                row[_COLUMNS],
                None if row[-1] is None else timedelta(microseconds=row[-1]),
            )
            for row in await cursor.fetchall()
        ]
        if not events:
            return Redelivered("", 0)
        told = await connection.execute(
            statements.TELL_AGAIN.encode(),
            {
                "event_ids": [UUID(event.event_id) for event in events],
                "user_ids": [event.user_id for event in events],
                "payloads": [outbox.payload(event) for event in events],
            },
        )
    return Redelivered(events[-1].event_id, told.rowcount)
