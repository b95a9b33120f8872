"""Takes deleted people out of Analytics' documents."""

from __future__ import annotations

from pymongo.errors import DuplicateKeyError

from services.analytics.stores.mongo.people import People
from services.analytics.stores.mongo.rejecting import Rejecting
from services.infra.mongo.client import Mongo
from services.infra.mongo.failures import translated

_POSITION = "position"


class MongoAnalyticsDeletions:
    """Keeps the promises of `Deletions` for Analytics on MongoDB: what was used stays, as nobody's (see `People`)."""

    def __init__(self, mongo: Mongo) -> None:
        self._positions = mongo["analytics_deletions"]
        self._people = People(mongo)
        self._rejecting = Rejecting(mongo, self._people)

    async def position(self) -> int:
        """See `Deletions`."""
        with translated():
            found = await self._positions.find_one({"_id": _POSITION})
        return 0 if found is None else int(found["revocation_id"])

    async def advance(self, position: int) -> None:
        """See `Deletions`."""
        with translated():
            try:
                await self._positions.update_one(
                    {"_id": _POSITION}, {"$max": {"revocation_id": position}}, upsert=True
                )
            except DuplicateKeyError:
                # Another process made it at the same moment.
                await self._positions.update_one({"_id": _POSITION}, {"$max": {"revocation_id": position}})

    async def restart(self) -> None:
        """See `Deletions`."""
        with translated():
            await self._positions.update_one({"_id": _POSITION}, {"$set": {"revocation_id": 0}})

    async def remove(self, user_id: str) -> bool:
        """See `Deletions`."""
        if user_id:
            with translated():
                await self._people.note(user_id)
                await self._people.take_out(user_id)
                await self._rejecting.take_out(user_id)
        return True
