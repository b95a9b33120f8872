"""Lets one process repair at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from pymongo.errors import DuplicateKeyError

from services.analytics.stores.mongo.clock import server_time
from services.infra.mongo.client import Mongo
from services.infra.mongo.failures import translated
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id

_BEAT_SECONDS = 10.0
_DEAD = timedelta(seconds=60)


class Repairs:
    """A lock that its owner renews. A process that is cut off for a minute loses it; what it does to figures is safe even then."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._locks = mongo["analytics_locks"]

    @asynccontextmanager
    async def repairing(self) -> AsyncIterator[bool]:
        """See `ports.UsageStore`."""
        owner_id = new_id()
        with translated():
            taken = await self._take(owner_id)
        if not taken:
            yield False
            return
        beating = asyncio.create_task(self._beat(owner_id), name="repair lock")
        try:
            yield True
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            # Otherwise it runs out by itself.
            with contextlib.suppress(Unavailable), translated():
                await self._locks.update_one(
                    {"_id": "repair", "owner_id": owner_id}, {"$set": {"owner_id": ""}}
                )

    async def _take(self, owner_id: str) -> bool:
        dead = await server_time(self._mongo) - _DEAD
        free = {"_id": "repair", "$or": [{"owner_id": ""}, {"beat_at": {"$lt": dead}}]}
        taken = {"$set": {"owner_id": owner_id}, "$currentDate": {"beat_at": True}}
        try:
            changed = await self._locks.update_one(free, taken, upsert=True)
        except DuplicateKeyError:
            return False
        return changed.upserted_id is not None or changed.modified_count == 1

    async def _beat(self, owner_id: str) -> None:
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            with contextlib.suppress(Unavailable), translated():
                await self._locks.update_one(
                    {"_id": "repair", "owner_id": owner_id}, {"$currentDate": {"beat_at": True}}
                )
