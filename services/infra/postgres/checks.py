"""Readiness, as far as it depends on a database."""

from __future__ import annotations

from services.infra.postgres.database import Database
from services.kernel.errors import ServiceError


class DatabaseCheck:
    """Whether the database answers; a HealthCheck."""

    name = "database"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def check(self) -> str | None:
        """None when it does, else what is wrong."""
        try:
            await self._database.ping()
        except ServiceError as error:
            return error.message
        return None
