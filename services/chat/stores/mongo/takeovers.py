"""The taking over of what dead processes have left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from services.chat.model import Lease, State
from services.chat.stores.mongo.documents import Document
from services.chat.stores.mongo.events import EventLog
from services.chat.stores.mongo.leases import Leases
from services.infra.mongo.client import Mongo

_AT_ONCE = 16
# The server uses an index of some documents only when the field that it is of is asked for, too.
_RUNNING = {"owner_id": {"$gt": ""}, "state": State.RUNNING.value}
_Result = TypeVar("_Result")


class TakeOvers:
    """Fences owners and adopts their generations.

    A generation's document says whose it is (owner and epoch), and its end is a write on the condition that it still is. Its events are
    documents of their own, which can't be written on such a condition: here a take-over fences them. In this order it

    1. removes the old owner's lease, on the condition that its beat has not moved,
    2. finds the running generations whose owner has no lease, and for each of them
    3. holds the position after its last event (`EventLog.fence`),
    4. makes itself the owner, on the condition that the generation still runs and still is the old owner's,
    5. looks whether its own lease stands; only then the records are read and ended, by whoever took over.

    Whatever the old owner, which was paused or cut off, does meanwhile:

    - An append arrives before step 3: it is part of the record, and read in step 5. Its owner may show it. Later than that, it meets the key:
      since positions are dense and an owner has one flush of a generation under way, the next one can have no other position than the
      one that is held. A repetition of a flush that came before meets its own document, and is accepted as before.
    - Its end arrives before step 4: it is the end, and step 4 finds nothing that runs. Later than that, its condition fails.
    - A beginning arrives before step 2: it is found. Later than that, it finds no lease: whoever begins looks for the lease after the
      insertion, and takes the insertion back. When it dies between the two, step 2 of another take-over finds the generation.
    - Two take-overs meet in step 3, where either fence serves both, and one of them wins step 4. One that was itself taken over meanwhile
      sees so in step 5, and what it adopted has an owner without a lease.

    A take-over that dies leaves either a generation whose owner has no lease, or one that is its own: both are ended by others, the latter
    as its lease's. Fences outlast the events that they end until those are pruned; by then a sleeper's lease is long known to be old where
    it sleeps (`MongoRecordStore.append`). What is read was acknowledged by a majority, and from the primary (`Mongo`), so no step rests on what a failover takes back.
    """

    def __init__(self, mongo: Mongo, leases: Leases, events: EventLog) -> None:
        self._generations = mongo["chat_generations"]
        self._leases = leases
        self._events = events

    async def take_over(self, mine: Lease, *, sole_owner: bool, limit: int) -> Sequence[str]:
        """Adopt some of what the dead have left running; the leases of all others count as dead with `sole_owner`."""
        if not await self._leases.is_held(mine):
            return []
        await self._leases.remove_dead(mine, sole_owner=sole_owner)
        orphans = await self._orphans(mine, limit)
        if not orphans:
            return []
        won = await _few_at_once([partial(self._adopt, mine, orphan) for orphan in orphans])
        if not await self._leases.is_held(mine):
            return []
        return [orphan["_id"] for orphan, ours in zip(orphans, won, strict=True) if ours]

    async def _orphans(self, mine: Lease, limit: int) -> list[Document]:
        """What runs, and whose owner has no lease. Owners are looked up before leases: whoever begins has a lease already, so a new process
        is never taken for a dead one."""
        owners = set(await self._generations.distinct("owner_id", _RUNNING))
        dead = owners - await self._leases.holders() - {mine.owner_id}
        if not dead:
            return []
        which = {"state": State.RUNNING.value, "owner_id": {"$in": sorted(dead)}}
        return [
            found async for found in self._generations.find(which, {"owner_id": 1, "epoch": 1}).limit(limit)
        ]

    async def _adopt(self, mine: Lease, orphan: Document) -> bool:
        await self._events.fence(orphan["_id"])
        changed = await self._generations.update_one(
            {**orphan, "state": State.RUNNING.value},
            {"$set": {"owner_id": mine.owner_id, "epoch": mine.epoch}},
        )
        return changed.matched_count == 1


async def _few_at_once(steps: Sequence[Callable[[], Awaitable[_Result]]]) -> list[_Result]:
    """The results of all steps, in order."""
    results: list[_Result] = []
    for first in range(0, len(steps), _AT_ONCE):
        results += await asyncio.gather(*(step() for step in steps[first : first + _AT_ONCE]))
    return results
