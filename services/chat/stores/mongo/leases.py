"""The leases of processes: a beat that each of them moves, and that others time by their own clocks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from services.chat.model import Lease
from services.infra.mongo.client import Mongo


@dataclass(frozen=True, slots=True)
class _Seen:
    """A beat, and when this process first saw it, by its monotonic clock."""

    epoch: int
    beat: int
    at: float


class Leases:
    """Takes, keeps and gives up leases, and removes those of the dead.

    No clock of the database or of another machine is trusted. A process is dead when its beat stands still for its ttl while this one
    watches; how long it had stood still before is not known, so the first look at it begins the wait.
    """

    def __init__(self, mongo: Mongo, clock: Callable[[], float] = time.monotonic) -> None:
        self._leases = mongo["chat_leases"]
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._lasts_until: dict[Lease, float] = {}

    async def acquire(self, owner_id: str, ttl: timedelta) -> Lease:
        """A new lease."""
        asked, lease = self._clock(), Lease(owner_id, 1)
        # Owners are new each time: who is there already is this one, after an attempt whose fate was not known.
        with contextlib.suppress(DuplicateKeyError):
            await self._leases.insert_one(
                {"_id": owner_id, "epoch": 1, "beat": 0, "ttl": ttl.total_seconds()}
            )
        self._lasts_until[lease] = asked + ttl.total_seconds()
        return lease

    async def renew(self, lease: Lease, ttl: timedelta) -> datetime | None:
        """Move the beat. Returns the server's time; None when the lease is gone."""
        asked = self._clock()
        found = await self._leases.find_one_and_update(
            _of(lease),
            {
                "$inc": {"beat": 1},
                "$set": {"ttl": ttl.total_seconds()},
                "$currentDate": {"at": True},
                "$unset": {"released": ""},
            },
            return_document=ReturnDocument.AFTER,
        )
        if found is None:
            self._lasts_until.pop(lease, None)
            return None
        self._lasts_until[lease] = asked + ttl.total_seconds()
        at: datetime = found["at"]
        return at

    async def release(self, lease: Lease) -> None:
        """Let others take it at once."""
        self._lasts_until.pop(lease, None)
        await self._leases.update_one(_of(lease), {"$set": {"released": True}})

    def is_fresh(self, lease: Lease) -> bool:
        """Whether this process confirmed it within its life."""
        return self._clock() < self._lasts_until.get(lease, 0.0)

    async def is_held(self, lease: Lease) -> bool:
        """Whether nobody has taken it."""
        return await self._leases.find_one(_of(lease), {"_id": 1}) is not None

    async def holders(self) -> set[str]:
        """Whoever has a lease now."""
        return {found["_id"] async for found in self._leases.find({}, {"_id": 1})}

    async def remove_dead(self, mine: Lease, *, sole_owner: bool) -> None:
        """Remove the leases that have run out; all but `mine` with `sole_owner`. One that is renewed meanwhile stays."""
        asked = self._clock()
        found = [document async for document in self._leases.find({"_id": {"$ne": mine.owner_id}})]
        answered = self._clock()
        seen: dict[str, _Seen] = {}
        for lease in found:
            owner_id, epoch, beat = lease["_id"], lease["epoch"], lease["beat"]
            before = self._seen.get(owner_id)
            if before is None or (before.epoch, before.beat) != (epoch, beat):
                before = _Seen(epoch, beat, answered)
            if sole_owner:
                await self._leases.delete_one({"_id": owner_id})
            elif lease.get("released"):
                await self._leases.delete_one({**_unmoved(lease), "released": True})
            elif asked - before.at >= lease["ttl"]:
                await self._leases.delete_one(_unmoved(lease))
            else:
                seen[owner_id] = before
        self._seen = seen


def _of(lease: Lease) -> dict[str, Any]:
    return {"_id": lease.owner_id, "epoch": lease.epoch}


def _unmoved(lease: Mapping[str, Any]) -> dict[str, Any]:
    return {"_id": lease["_id"], "epoch": lease["epoch"], "beat": lease["beat"]}
