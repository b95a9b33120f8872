"""Makes the figures of a day anew."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from services.analytics.stores.mongo.batches import DONE, Document
from services.analytics.stores.mongo.clock import server_time
from services.analytics.stores.mongo.contributions import Additions, added, additions_of, people_in
from services.analytics.stores.mongo.days import Days
from services.analytics.stores.mongo.folding import SETTLED, Folding
from services.analytics.stores.mongo.layout import DAY_MINUTES, MINUTE
from services.analytics.stores.mongo.people import People
from services.analytics.stores.mongo.scanning import minutes_of
from services.infra.mongo.client import Mongo
from services.kernel.errors import Unavailable

_ATTEMPTS = 5
_BATCHES_AT_ONCE = 50
_MOST_ADDITIONS = 20_000
# Figures forget names ten minutes after their batch was done; these were for at most five of them.
_MOST_SECONDS = 240.0
_DAY = DAY_MINUTES * MINUTE


class _GivenUp(Exception):
    """Another process began a later version."""


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
            with contextlib.suppress(_GivenUp):
                await self._fill(day, version)
                if await self._days.finish(day, version):
                    return
        raise Unavailable("The figures of this day are being made by others; try again.", retry_after=5.0)

    async def _fill(self, day: int, version: int) -> None:
        """Add all that there is. Raises _GivenUp."""
        long_done = await server_time(self._mongo) - SETTLED
        until = time.monotonic() + _MOST_SECONDS
        which = minutes_of(day * _DAY, (day + 1) * _DAY)
        settled: list[str] = []
        others: list[str] = []
        async for batch in self._batches.find(which, {"fold": 1, "folded_at": 1}):
            (settled if _is_settled(batch, long_done) else others).append(batch["_id"])
        # These first, before figures may forget their names.
        async for name, additions in self._each(others, day, version):
            await self._add(additions, version, name, until)
        many: Additions = {}
        chunk = 0
        async for _, additions in self._each(settled, day, version):
            added(many, additions)
            if len(many) >= _MOST_ADDITIONS:
                await self._add(many, version, f"chunk {chunk} of version {version}", math.inf)
                many, chunk = {}, chunk + 1
        await self._add(many, version, f"chunk {chunk} of version {version}", math.inf)

    async def _each(
        self, batch_ids: Sequence[str], day: int, version: int
    ) -> AsyncIterator[tuple[str, Additions]]:
        """The batches, and what they add to the day. Raises _GivenUp."""
        for first in range(0, len(batch_ids), _BATCHES_AT_ONCE):
            if not await self._days.go_on(day, version):
                raise _GivenUp
            some = {"_id": {"$in": batch_ids[first : first + _BATCHES_AT_ONCE]}}
            for batch in await self._batches.find(some).to_list():
                additions = await additions_of(batch)
                yield (
                    batch["_id"],
                    {place: addition for place, addition in additions.items() if place.day == day},
                )

    async def _add(self, additions: Additions, version: int, name: str, until: float) -> None:
        await self._folding.add(
            [(place, version, addition) for place, addition in additions.items()], name, until
        )
        await self._people.look_again(people_in(additions))


def _is_settled(batch: Document, long_done: datetime) -> bool:
    """Whether nobody folds the batch any more."""
    return "fold" not in batch or (batch["fold"] == DONE and batch["folded_at"] < long_done)
