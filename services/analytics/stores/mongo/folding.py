"""Adds batches to figures, each once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from services.analytics.stores.mongo.batches import DONE, DUE, Document
from services.analytics.stores.mongo.contributions import (
    Addition,
    Place,
    additions_of,
    days_of,
    documents_of,
    people_in,
)
from services.analytics.stores.mongo.days import Days
from services.analytics.stores.mongo.people import People
from services.infra.mongo.client import Mongo
from services.infra.mongo.failures import DUPLICATE_KEY
from services.kernel.errors import Unavailable

_AT_ONCE = 500
_BATCHES_AT_ONCE = 50
_ATTEMPTS = 30
_MOST_SECONDS = 60.0

SETTLED = timedelta(minutes=5)
"""A batch that has been done for so long is folded by nobody any more."""
_FORGOTTEN = timedelta(minutes=10)


class Folding:
    """Adds batches to figures.

    A figure names the batches that are in it, and a batch is added on the condition that it is not named. So whoever finds a batch due may
    fold it, others being at it or not, and a crash at any point leaves it due. In this order a folder

    1. reads the batch, which is due,
    2. adds it to the figures in each version of its days that is kept up; whoever begins another one later finds the batch,
    3. takes people out who were deleted meanwhile,
    4. marks it done.

    A figure may forget the names of batches that nobody folds any more. A folder gives up a minute after step 1; whoever began it before the
    batch was marked done has given up long before ten minutes later, when names are forgotten, with a time-out of the driver in between.
    """

    def __init__(self, mongo: Mongo, days: Days, people: People) -> None:
        self._batches = mongo["analytics_batches"]
        self._figures = mongo["analytics_figures"]
        self._days = days
        self._people = people

    async def fold(self, batch: Document, read_at: float) -> None:
        """Bring a batch to its end that was due when it was read, at that time of `time.monotonic`. Raises Unavailable."""
        additions = await additions_of(batch)
        versions = await self._days.kept_up(days_of(additions))
        await self.add(
            [
                (place, version, addition)
                for place, addition in additions.items()
                for version in versions[place.day]
            ],
            batch["_id"],
            read_at + _MOST_SECONDS,
        )
        await self._people.look_again(people_in(additions))
        await self._batches.update_one(
            {"_id": batch["_id"], "fold": DUE},
            {"$set": {"fold": DONE}, "$currentDate": {"folded_at": True}},
        )

    async def fold_due(self, which: Mapping[str, object] | None = None) -> None:
        """Fold what is due now, all or some."""
        due = await self._batches.find({"fold": DUE, **(which or {})}, {"_id": 1}).to_list()
        for found in due:
            read_at = time.monotonic()
            batch = await self._batches.find_one({"_id": found["_id"], "fold": DUE})
            if batch is not None:
                await self.fold(batch, read_at)

    async def add(self, additions: Sequence[tuple[Place, int, Addition]], name: str, until: float) -> None:
        """Add to figures, by their places and versions, what the name stands for. `until` is a time of `time.monotonic`. Raises Unavailable when
        it is over."""
        left = [
            (place.id(version), addition.update(place, version, name))
            for place, version, addition in additions
        ]
        for _ in range(_ATTEMPTS):
            clashed = []
            for first in range(0, len(left), _AT_ONCE):
                if time.monotonic() > until:
                    raise Unavailable("The figures can't be written in time now; try again.", retry_after=5.0)
                some = left[first : first + _AT_ONCE]
                clashed += [some[index] for index in await self._written([update for _, update in some])]
            if not clashed:
                return
            # Either it is in already, or another batch made the figure at the same moment.
            ids = [id_ for id_, _ in clashed]
            inside = self._figures.find({"_id": {"$in": ids}, "batches": name}, {"_id": 1})
            known = {found["_id"] async for found in inside}
            left = [one for one in clashed if one[0] not in known]
            if not left:
                return
        raise Unavailable("The figures can't be written now; try again.", retry_after=1.0)

    async def _written(self, updates: list[UpdateOne]) -> list[int]:
        """Do the updates, and tell which of them met a duplicate key."""
        try:
            await self._figures.bulk_write(updates, ordered=False)
        except BulkWriteError as error:
            failures = error.details["writeErrors"]
            if error.details.get("writeConcernErrors") or any(
                one["code"] != DUPLICATE_KEY for one in failures
            ):
                raise
            return [one["index"] for one in failures]
        return []

    async def settle(self, now: datetime) -> None:
        """Have figures forget the names of batches that nobody folds any more; `now` is the server's."""
        old = {"fold": DONE, "folded_at": {"$lt": now - _FORGOTTEN}}
        while batches := await self._batches.find(old).limit(_BATCHES_AT_ONCE).to_list():
            named: dict[str, list[str]] = {}
            for batch in batches:
                additions = await additions_of(batch)
                versions = await self._days.kept_up(days_of(additions))
                for id_ in documents_of(additions, versions):
                    named.setdefault(id_, []).append(batch["_id"])
            updates = [
                UpdateOne({"_id": id_}, {"$pullAll": {"batches": names}}) for id_, names in named.items()
            ]
            for first in range(0, len(updates), _AT_ONCE):
                await self._figures.bulk_write(updates[first : first + _AT_ONCE], ordered=False)
            ids = [batch["_id"] for batch in batches]
            await self._batches.update_many(
                {"_id": {"$in": ids}, "fold": DONE}, {"$unset": {"fold": "", "folded_at": ""}}
            )
