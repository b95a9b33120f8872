"""What was used, as the rows of generations say it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from services.capabilities.metering import outbox
from services.capabilities.metering.model import Redelivered, Unit, UsageStatus, UsageSummary
from services.image.stores import book_statements as statements
from services.image.stores import rows
from services.infra.postgres.executing import SqlPart
from services.kernel.ids import first_id_at

_BEFORE_ALL = str(UUID(int=0))


class SqlBooks(SqlPart):
    """Keeps the promises of `ImageStore` on the books."""

    async def summarize(self, start: datetime, end: datetime, limit: int) -> Sequence[UsageSummary]:
        """As the port says."""
        found = await self._all(statements.USAGE, _span(start, end) | {"limit": limit})
        return [
            UsageSummary(user_id, model, UsageStatus(status), count, {Unit.IMAGES: images} if images else {})
            for user_id, model, status, count, images in found
        ]

    async def pending(self, start: datetime, end: datetime) -> int:
        """As the port says."""
        return int(await self._value(statements.PENDING, _span(start, end)))

    async def redeliver(self, start: datetime, end: datetime, after: str, limit: int) -> Redelivered:
        """As the port says. Events that were set aside wait again."""
        values = {**_span(start, end), "after": after or _BEFORE_ALL, "limit": limit}
        async with self._database.transaction() as connection:
            cursor = await connection.execute(statements.TOLD.encode(), values)
            events = [rows.event_again(row) for row in await cursor.fetchall()]
            if not events:
                return Redelivered("", 0)
            told = await connection.execute(
                statements.TELL_AGAIN.encode(),
                {
                    "event_ids": [event.event_id for event in events],
                    "user_ids": [event.user_id for event in events],
                    "payloads": [outbox.payload(event) for event in events],
                },
            )
        return Redelivered(events[-1].event_id, told.rowcount)


def _span(start: datetime, end: datetime) -> dict[str, object]:
    return {"first": first_id_at(start), "last": first_id_at(end)}
