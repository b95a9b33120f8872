"""Conversions in PostgreSQL: found, listed, and deleted."""

from __future__ import annotations

from datetime import datetime

from services.infra.postgres.executing import SqlPart
from services.kernel.paging import Page, PageRequest
from services.speech.model import Conversion
from services.speech.stores import rows, statements

# Clients take 4 MiB at once by default.
_PAGE_BYTES = 3 * 1024**2


class SqlConversions(SqlPart):
    """Keeps the promises of `ConversionStore` on conversions."""

    async def conversion(self, conversion_id: str) -> Conversion | None:
        """As the port says."""
        row = await self._one(statements.CONVERSION, {"conversion_id": conversion_id})
        return None if row is None else rows.conversion(row)

    async def page(self, user_id: str | None, request: PageRequest) -> Page[Conversion]:
        """As the port says."""
        page, count = (
            (statements.PAGE_OF_ALL, statements.COUNT_OF_ALL)
            if user_id is None
            else (statements.PAGE_OF_ONE, statements.COUNT_OF_ONE)
        )
        values = {
            "user_id": user_id if user_id is None else rows.column_user_id(user_id),
            "after": request.after,
            "size": request.size,
            "skip": request.skip,
            "max_bytes": _PAGE_BYTES,
        }
        async with self._database.connection() as connection:
            cursor = await connection.execute(page.encode(), values)
            found = await cursor.fetchall()
            cursor = await connection.execute(count.encode(), values)
            total = await cursor.fetchone()
        conversions = [rows.conversion(row[:-1]) for row in found]
        more = bool(found) and found[0][-1] > len(found)
        return Page(conversions, conversions[-1].conversion_id if more else None, total[0] if total else 0)

    async def delete(self, conversion_id: str, user_id: str | None) -> bool:
        """As the port says."""
        values = {
            "conversion_id": conversion_id,
            "user_id": user_id if user_id is None else rows.column_user_id(user_id),
        }
        return await self._do(statements.DELETE, values) > 0

    async def expire(self, before: datetime, limit: int) -> int:
        """As the port says. Conversions that another process is at are passed over."""
        return await self._do(statements.EXPIRE, {"before": before, "limit": limit})
