"""Makes the figures of a day anew."""

from __future__ import annotations

import time
from datetime import datetime

from services.analytics.stores.mongo.batches import DONE, Document
from services.analytics.stores.mongo.clock import server_time
from services.analytics.stores.mongo.contributions import Additions, added, additions_of
from services.analytics.stores.mongo.days import Days
from services.analytics.stores.mongo.folding import SETTLED, Folding
from services.analytics.stores.mongo.layout import DAY_MINUTES, MINUTE
from services.analytics.stores.mongo.people import People
from services.analytics.stores.mongo.scanning import minutes_of
from services.infra.mongo.client import Mongo
from services.kernel.errors import Unavailable

_ATTEMPTS = 5
_BATCHES_AT_ONCE = 50
_MOST_ADDITIONS = 50_000
_DAY = DAY_MINUTES * MINUTE


class Rebuilding:
    """Makes figures anew beside those that count, and lets them count in one write.

    From the moment on that a version is begun whoever folds a batch adds it to that version, too. All batches that were there before are listed
    afterwards, so each is in the list, or its folder knows of the version, or both; and what both add counts once, as always. Of batches
    that nobody folds any more many are added at once, under a name that stands for them in this version.
    """

    def __init__(self, mongo: Mongo, days: Days, people: People, folding: Folding) -> None:
        self._mongo = mongo
        self._batches = mongo["analytics_batches"]
        self._days = days
        self._people = people
        self._folding = folding

    async def rebuild(self, day: int) -> None:
        """Make the figures of a day since 1970 anew. Raises Unavailable."""
        for _ in range(_ATTEMPTS):
            version = await self._days.begin(day)
            if await self._made(day, version) and await self._days.finish(day, version):
                return
        raise Unavailable("The figures of this day are being made by others; try again.", retry_after=5.0)

    async def _made(self, day: int, version: int) -> bool:
        """Fill the version; False when it was given up meanwhile."""
        long_done = await server_time(self._mongo) - SETTLED
        which = minutes_of(day * _DAY, (day + 1) * _DAY)
        # By the order of their making, so that the list is as of one moment, and is short.
        ids = [found["_id"] async for found in self._batches.find(which, {"_id": 1}).sort("_id", 1)]
        many: Additions = {}
        for first in range(0, len(ids), _BATCHES_AT_ONCE):
            if not await self._days.go_on(day, version):
                return False
            some = {"_id": {"$in": ids[first : first + _BATCHES_AT_ONCE]}}
            read_at = time.monotonic()
            for batch in await self._batches.find(some).to_list():
                additions = {
                    place: addition
                    for place, addition in (await additions_of(batch)).items()
                    if place.day == day
                }
                if _is_settled(batch, long_done):
                    added(many, additions)
                else:
                    await self._add(additions, version, batch["_id"], read_at)
                await self._people.look_again(batch)
            if len(many) > _MOST_ADDITIONS:
                await self._add(many, version, f"to {first} of version {version}", time.monotonic())
                many = {}
        await self._add(many, version, f"rest of version {version}", time.monotonic())
        return True

    async def _add(self, additions: Additions, version: int, name: str, read_at: float) -> None:
        await self._folding.add(
            [(place, version, addition) for place, addition in additions.items()], name, read_at
        )


def _is_settled(batch: Document, long_done: datetime) -> bool:
    """Whether nobody folds the batch any more."""
    return "fold" not in batch or (batch["fold"] == DONE and batch["folded_at"] < long_done)
