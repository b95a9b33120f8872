"""Readiness, as far as it depends on a MongoDB."""

from __future__ import annotations

from services.infra.mongo.client import Mongo
from services.kernel.errors import ServiceError


class MongoCheck:
    """Whether the database answers; a HealthCheck."""

    name = "mongo"

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo

    async def check(self) -> str | None:
        """None when it does, else what is wrong."""
        try:
            await self._mongo.ping()
        except ServiceError as error:
            return error.message
        return None
