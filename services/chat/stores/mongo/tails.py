"""Who watches records that other replicas write. Growth is not told: whoever watches looks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from datetime import datetime, timedelta

from pymongo import ReturnDocument, UpdateOne

from services.infra.mongo.client import Mongo
from services.infra.mongo.failures import translated

_CLOCK = "clock"


class MongoTails:
    """Keeps Tails' promises on MongoDB, on a single server too, and so without change streams. Times are the server's clock."""

    def __init__(self, mongo: Mongo) -> None:
        self._watches = mongo["chat_watches"]

    async def watch(self, watcher_id: str, generation_ids: Collection[str], ttl: timedelta) -> None:
        """As the port says."""
        if not generation_ids:
            return
        writes = [
            UpdateOne(
                {"_id": {"g": generation_id, "w": watcher_id}},
                {
                    "$set": {"g": generation_id, "ttl": ttl.total_seconds()},
                    "$currentDate": {"at": True},
                },
                upsert=True,
            )
            for generation_id in generation_ids
        ]
        with translated():
            await self._watches.bulk_write(writes, ordered=False)

    async def unwatch(self, watcher_id: str, generation_id: str) -> None:
        """As the port says."""
        with translated():
            await self._watches.delete_one({"_id": {"g": generation_id, "w": watcher_id}})

    async def watched(self, generation_ids: Collection[str]) -> frozenset[str]:
        """As the port says."""
        if not generation_ids:
            return frozenset()
        with translated():
            clock = await self._watches.find_one_and_update(
                {"_id": _CLOCK},
                {"$currentDate": {"at": True}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
            assert clock is not None
            return await self.watched_at(clock["at"], generation_ids)

    async def watched_at(self, now: datetime, generation_ids: Collection[str]) -> frozenset[str]:
        """Those of the generations that somebody watches at a moment of the server's clock."""
        found = self._watches.find({"g": {"$in": list(generation_ids)}}, {"g": 1, "ttl": 1, "at": 1})
        return frozenset(
            [watch["g"] async for watch in found if watch["at"] + timedelta(seconds=watch["ttl"]) > now]
        )

    async def announce(self, generation_ids: Collection[str]) -> None:
        """Nobody is told: `growth` can't tell."""

    async def growth(self) -> AsyncIterator[str]:
        """As the port says: it ends at once."""
        told: tuple[str, ...] = ()
        for generation_id in told:
            yield generation_id
