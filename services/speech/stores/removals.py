"""Removals in PostgreSQL: the objects that are due to go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from services.infra.postgres.executing import SqlPart
from services.speech.model import Removal
from services.speech.stores import removal_statements as statements


class SqlRemovals(SqlPart):
    """Keeps the promises of `ConversionStore` on removals. Whoever is at one that is asked for anew, or done by another, has not done it by being
    done: it stays, and is due again."""

    async def due(self, pause: timedelta, limit: int) -> Sequence[Removal]:
        """As the port says."""
        found = await self._all(statements.DUE, {"pause": pause, "limit": limit})
        return [Removal(*row) for row in found]

    async def removed(self, removals: Sequence[Removal], repeat: timedelta) -> None:
        """As the port says."""
        values = {
            "conversion_ids": [removal.conversion_id for removal in removals],
            "agains": [removal.again for removal in removals],
            "repeat": repeat,
        }
        await self._do(statements.REMOVED, values)

    async def unremoved(self) -> int:
        """As the port says."""
        return int(await self._value(statements.UNREMOVED, {}))
