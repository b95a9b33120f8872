"""Which version of a day's figures counts, and which one is being made."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from datetime import datetime, timedelta

from pymongo.errors import DuplicateKeyError

from services.analytics.stores.mongo.clock import server_time
from services.infra.mongo.client import Document, Mongo
from services.kernel.errors import Unavailable

_ATTEMPTS = 400
_PAUSE_SECONDS = 0.1
_AT_ONCE = 100
_IDLE = timedelta(seconds=30)
_STALE = timedelta(hours=1)


class Days:
    """The versions of days. A day that has no document has version 0, and no other one is being made."""

    def __init__(self, mongo: Mongo) -> None:
        self._mongo = mongo
        self._days = mongo["analytics_days"]
        self._figures = mongo["analytics_figures"]

    async def counting(self, first: int, last: int) -> dict[int, int]:
        """The versions that count of the days from the first to the last, without those whose version is 0."""
        which = {"_id": {"$gte": first, "$lte": last}, "version": {"$gt": 0}}
        return {found["_id"]: found["version"] async for found in self._days.find(which, {"version": 1})}

    async def kept_up(self, days: Collection[int]) -> dict[int, tuple[int, ...]]:
        """The versions of each of these days that have to have all events."""
        found: dict[int, tuple[int, ...]] = dict.fromkeys(days, (0,))
        async for day in self._days.find({"_id": {"$in": sorted(days)}}):
            building = (day["building"],) if "building" in day else ()
            found[day["_id"]] = (day["version"], *building)
        return found

    async def begin(self, day: int) -> int:
        """A new version, from now on kept up by whoever folds. One that somebody else is making is waited for, and given up when nobody is at it
        any more. Raises Unavailable when that takes too long."""
        for _ in range(_ATTEMPTS):
            known = await self._days.find_one({"_id": day})
            if known is None:
                # Whoever comes second finds it.
                with contextlib.suppress(DuplicateKeyError):
                    await self._days.insert_one({"_id": day, "version": 0, "last": 0, "stale": []})
            elif "building" in known and known["changed_at"] > await server_time(self._mongo) - _IDLE:
                await asyncio.sleep(_PAUSE_SECONDS)
            elif await self._begun(known):
                version: int = known["last"] + 1
                return version
        raise Unavailable("The figures of this day are being made by others; try again.", retry_after=5.0)

    async def _begun(self, known: Document) -> bool:
        """Begin the next version of a day, unless another process did."""
        version = known["last"] + 1
        update: Document = {
            "$set": {"building": version, "last": version},
            "$currentDate": {"changed_at": True},
        }
        if "building" in known:
            update["$push"] = {"stale": known["building"]}
        which = {"_id": known["_id"], "last": known["last"], "version": known["version"]}
        which["building"] = known.get("building", {"$exists": False})
        return (await self._days.update_one(which, update)).modified_count == 1

    async def go_on(self, day: int, version: int) -> bool:
        """Say that a version is still being made; False when it was given up meanwhile."""
        known = await self._days.update_one(
            {"_id": day, "building": version}, {"$currentDate": {"changed_at": True}}
        )
        return known.matched_count == 1

    async def finish(self, day: int, version: int) -> bool:
        """Let a version count that was made; False when it was given up meanwhile."""
        known = await self._days.find_one({"_id": day, "building": version})
        if known is None:
            return False
        changed = await self._days.update_one(
            {"_id": day, "building": version},
            {
                "$set": {"version": version},
                "$unset": {"building": ""},
                "$push": {"stale": known["version"]},
                "$currentDate": {"changed_at": True},
            },
        )
        return changed.modified_count == 1

    async def tidy(self, now: datetime) -> None:
        """Give up versions that nobody is making any more, and remove figures that nobody reads any more."""
        old = {"changed_at": {"$lt": now - _STALE}}
        async for day in self._days.find({**old, "building": {"$exists": True}}):
            which = {"_id": day["_id"], "building": day["building"], "changed_at": day["changed_at"]}
            await self._days.update_one(
                which, {"$unset": {"building": ""}, "$push": {"stale": day["building"]}}
            )
        for day in await self._days.find({**old, "stale.0": {"$exists": True}}).limit(_AT_ONCE).to_list():
            await self._figures.delete_many({"day": day["_id"], "version": {"$in": day["stale"]}})
            await self._days.update_one({"_id": day["_id"]}, {"$pullAll": {"stale": day["stale"]}})
