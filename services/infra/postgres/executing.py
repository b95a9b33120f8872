"""What the parts of a store in PostgreSQL have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.infra.postgres.database import Database


class SqlPart:
    """Single statements, each on a connection of its own for as long as it takes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def _one(self, statement: str, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
        async with self._database.connection() as connection:
            cursor = await connection.execute(statement.encode(), values)
            return await cursor.fetchone()

    async def _value(self, statement: str, values: Mapping[str, Any]) -> Any:
        row = await self._one(statement, values)
        assert row is not None
        return row[0]

    async def _all(self, statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        async with self._database.connection() as connection:
            cursor = await connection.execute(statement.encode(), values)
            return await cursor.fetchall()

    async def _do(self, statement: str, values: Mapping[str, Any]) -> int:
        async with self._database.connection() as connection:
            cursor = await connection.execute(statement.encode(), values)
            return cursor.rowcount
