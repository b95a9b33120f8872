"""How a service follows the deletion of people in its own database: how far it is, and step by step."""

from __future__ import annotations

from services.infra.postgres.database import Database


class SqlPosition:
    """The row of `<schema>.deletions`: the part of `Deletions` that is the same in every service."""

    def __init__(self, database: Database, schema: str) -> None:
        self._database = database
        self._schema = schema

    async def position(self) -> int:
        """See `Deletions`."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(f"select revocation_id from {self._schema}.deletions".encode())
            row = await cursor.fetchone()
        return 0 if row is None else int(row[0])

    async def advance(self, position: int) -> None:
        """See `Deletions`."""
        async with self._database.connection() as connection:
            await connection.execute(
                f"update {self._schema}.deletions set revocation_id = %s where revocation_id < %s".encode(),
                (position, position),
            )

    async def restart(self) -> None:
        """See `Deletions`."""
        async with self._database.connection() as connection:
            await connection.execute(f"update {self._schema}.deletions set revocation_id = 0".encode())

    async def _repeat(self, change: str, exists: str, user_id: str) -> None:
        """Repeat a step until nothing is left. Another process may be at the same rows: then a step waits for it, and finds none."""
        values = {"user_id": user_id}
        while True:
            async with self._database.connection() as connection:
                cursor = await connection.execute(change.encode(), values)
                if cursor.rowcount:
                    continue
                cursor = await connection.execute(exists.encode(), values)
                row = await cursor.fetchone()
            if row is None or not row[0]:
                return
