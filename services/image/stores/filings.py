"""Filings in PostgreSQL: what is still to be done in the object store, and whose turn it is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from services.image.model import Change, Filing
from services.image.stores import filing_statements as statements
from services.image.stores import rows
from services.infra.postgres.executing import SqlPart


class SqlFilings(SqlPart):
    """Keeps the promises of `ImageStore` on filings. A revision is never given twice, so work on another one is known as such, however late
    its answer comes."""

    async def take(
        self, lease_id: str, ttl: timedelta, group: str = "", limit: int = 500
    ) -> Sequence[Filing]:
        """As the port says."""
        lease = statements.LEASE_GROUP if group else statements.LEASE_DUE
        values: dict[str, Any] = {"lease_id": lease_id, "ttl": ttl, "group": group, "limit": limit}
        async with self._database.connection() as connection:
            cursor = await connection.execute(lease.encode(), values)
            groups = [row[0] for row in await cursor.fetchall()]
            if not groups:
                return []
            # What was done to a group under its last lease is seen once this one is had, and not before.
            values |= {"groups": groups, "all": bool(group)}
            cursor = await connection.execute(statements.TAKEN.encode(), values)
            taken = [rows.filing(row) for row in await cursor.fetchall()]
            if idle := set(groups) - {filing.group for filing in taken}:
                values["groups"] = sorted(idle)
                await connection.execute(statements.LEAVE.encode(), values)
        return taken

    async def waits(self, group: str) -> bool:
        """As the port says."""
        return bool(await self._value(statements.WAITS, {"group": group}))

    async def filed(self, done: Sequence[Filing], repeat: timedelta) -> None:
        """As the port says."""
        async with self._database.transaction() as connection:
            await connection.execute(statements.LOCK.encode(), _values(done))
            cursor = await connection.execute(statements.DONE.encode(), _values(done) | {"repeat": repeat})
            found = {row[0] for row in await cursor.fetchall()}
            late = [filing for filing in done if filing.change is Change.ADD and filing.image_id not in found]
            if late:
                values = {
                    **_values(late),
                    "groups": [filing.group for filing in late],
                    "user_ids": [filing.user_id for filing in late],
                    "days": [filing.day for filing in late],
                }
                await connection.execute(statements.OVERTAKEN.encode(), values)

    async def failed(self, filings: Sequence[Filing], pause: timedelta) -> None:
        """As the port says."""
        async with self._database.transaction() as connection:
            await connection.execute(statements.LOCK.encode(), _values(filings))
            await connection.execute(statements.FAILED.encode(), _values(filings) | {"pause": pause})

    async def leave(self, lease_id: str, groups: Sequence[str]) -> None:
        """As the port says."""
        await self._do(statements.LEAVE, {"lease_id": lease_id, "groups": list(groups)})

    async def unfiled(self) -> int:
        """As the port says."""
        return int(await self._value(statements.UNFILED, {}))


def _values(filings: Sequence[Filing]) -> dict[str, Any]:
    return {
        "image_ids": [filing.image_id for filing in filings],
        "revisions": [filing.revision for filing in filings],
    }
