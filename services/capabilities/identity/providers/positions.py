"""How far a service has followed the deletion of people, in its own database."""

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
