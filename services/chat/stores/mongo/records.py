"""Records of generations in MongoDB."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pymongo import ReturnDocument

from services.capabilities.claims.model import Claim
from services.capabilities.metering.model import Redelivered, UsageEvent, UsageSummary
from services.chat.model import Ending, Event, Generation, Lease, Message, NewGeneration, Session, State
from services.chat.ports import Flush, LeaseLost, Renewal
from services.chat.stores.mongo.beginnings import Beginnings
from services.chat.stores.mongo.documents import (
    Document,
    ending_changes,
    forgotten_changes,
    is_same_end,
    owned_by,
    running_of,
)
from services.chat.stores.mongo.events import EventLog
from services.chat.stores.mongo.history import Histories
from services.chat.stores.mongo.leases import Leases
from services.chat.stores.mongo.projections import Projections
from services.chat.stores.mongo.reading import GenerationReader
from services.chat.stores.mongo.redelivering import Redelivery, pending
from services.chat.stores.mongo.retiring import Retention
from services.chat.stores.mongo.summing import summarized
from services.chat.stores.mongo.tails import MongoTails
from services.chat.stores.mongo.takeovers import TakeOvers
from services.infra.mongo.client import Mongo
from services.infra.mongo.failures import translated

_TO_PROJECT = dict.fromkeys(("session_id", "opens", "asked", "unprojected", "ended_at"), 1)


class MongoRecordStore:
    """Keeps RecordStore's promises on MongoDB, by writes of single documents. `TakeOvers` says why nothing is written under a lease that was
    taken."""

    def __init__(self, mongo: Mongo, projections: Projections | None = None) -> None:
        self._generations = mongo["chat_generations"]
        self._projections = projections or Projections(mongo)
        self._events = EventLog(mongo)
        self._leases = Leases(mongo)
        self._tails = MongoTails(mongo)
        self._retention = Retention(mongo, self._events)
        self._redelivery = Redelivery(mongo)
        self._histories = Histories(mongo, self._projections)
        self._reader = GenerationReader(mongo, self._events)
        self._take_overs = TakeOvers(mongo, self._leases, self._events)
        self._beginnings = Beginnings(mongo, self._leases, self._projections)
        # What began here and has not ended here.
        self._begun: dict[str, Lease] = {}

    # -- leases

    async def acquire(self, owner_id: str, ttl: timedelta) -> Lease:
        """As the port says."""
        with translated():
            return await self._leases.acquire(owner_id, ttl)

    async def renew(self, lease: Lease, ttl: timedelta) -> Renewal | None:
        """As the port says."""
        with translated():
            now = await self._leases.renew(lease, ttl)
            if now is None:
                self._begun = {key: owner for key, owner in self._begun.items() if owner != lease}
                return None
            found = self._generations.find(running_of(lease.owner_id), {"cancel_requested": 1})
            running = {one["_id"]: bool(one.get("cancel_requested")) async for one in found}
            watched = await self._tails.watched_at(now, running) if running else frozenset()
            return Renewal(frozenset([key for key, cancel in running.items() if cancel]), watched)

    async def running(self, lease: Lease) -> Sequence[str]:
        """As the port says."""
        with translated():
            return [
                found["_id"] async for found in self._generations.find(running_of(lease.owner_id), {"_id": 1})
            ]

    async def release(self, lease: Lease) -> None:
        """As the port says."""
        with translated():
            await self._leases.release(lease)

    async def take_over(self, mine: Lease, *, sole_owner: bool, limit: int) -> Sequence[str]:
        """As the port says. A process is dead when it has not renewed its lease for its time while this store watched: so the first look at
        another's lease never takes it, unless it was given up."""
        with translated():
            return await self._take_overs.take_over(mine, sole_owner=sole_owner, limit=limit)

    # -- writing

    async def begin(self, lease: Lease, new: NewGeneration) -> str | None:
        """As the port says; NotFound when the session is gone."""
        generation_id = new.generation.generation_id
        # From the insertion on others see it. Whoever ends it meanwhile takes it out of here.
        self._begun[generation_id] = lease
        stays = False
        try:
            with translated():
                begun, inserted = await self._beginnings.begin(lease, new)
            if begun != generation_id:
                return begun
            if self._begun.get(generation_id) != lease:
                raise LeaseLost
            # What an earlier attempt inserted may have been ended since.
            stays = inserted
            return None
        finally:
            if not stays:
                self._begun.pop(generation_id, None)

    async def claimed(self, caller: str, request_id: str, digest: bytes) -> str | None:
        """As the port says."""
        with translated():
            return await self._beginnings.claimed(Claim(caller, request_id, digest))

    async def append(self, lease: Lease, flushes: Sequence[Flush]) -> set[str]:
        """As the port says, of flushes that are dense.

        Whose they are is not looked up for what began here and has not ended here: whoever takes it fences it first. Unless this process
        slept for longer than its lease lasts, since it might have slept until the fence was removed.
        """
        ids = [flush.generation_id for flush in flushes]
        with translated():
            awake = self._leases.is_fresh(lease)
            unknown = [key for key in ids if not awake or self._begun.get(key) != lease]
            ours = set(ids).difference(unknown)
            if unknown and await self._leases.is_held(lease):
                which = {"_id": {"$in": unknown}, **running_of(lease.owner_id), "epoch": lease.epoch}
                ours.update([found["_id"] async for found in self._generations.find(which, {"_id": 1})])
            wanted = [flush for flush in flushes if flush.generation_id in ours]
            accepted = await self._events.insert(wanted) if wanted else set()
        for refused in ours - accepted:
            self._begun.pop(refused, None)
        return accepted

    async def finish(
        self, lease: Lease, generation: Generation, ending: Ending, usage_event: UsageEvent | None
    ) -> bool:
        """As the port says."""
        generation_id = generation.generation_id
        with translated():
            changes = ending_changes(generation, ending, usage_event)
            ended = await self._end(
                {**owned_by(lease, generation_id), "forgotten": {"$ne": True}}, changes, _TO_PROJECT
            )
            if ended is not None:
                if "unprojected" in ended:
                    answer = changes["$set"].get("answer")
                    await self._projections.project(ended if answer is None else {**ended, "answer": answer})
            elif await self._end(
                {**owned_by(lease, generation_id), "forgotten": True},
                forgotten_changes(ending, usage_event),
                {"_id": 1},
            ):
                await self._events.clear(generation_id)
            else:
                stored = await self._generations.find_one({"_id": generation_id})
                if stored is None or not is_same_end(stored, ending):
                    self._begun.pop(generation_id, None)
                    return False
                if "unprojected" in stored:
                    await self._projections.project(stored)
                elif stored.get("forgotten") and not stored.get("events_pruned"):
                    await self._events.clear(generation_id)
        self._begun.pop(generation_id, None)
        return True

    async def _end(self, which: Document, changes: Document, fields: Document) -> Document | None:
        return await self._generations.find_one_and_update(
            which, changes, fields, return_document=ReturnDocument.AFTER
        )

    async def request_cancel(self, generation_id: str) -> None:
        """As the port says."""
        with translated():
            await self._generations.update_one(
                {"_id": generation_id, "state": State.RUNNING.value}, {"$set": {"cancel_requested": True}}
            )

    async def prune(self, older_than: timedelta, limit: int) -> int:
        """As the port says."""
        with translated():
            return await self._retention.prune(older_than, limit)

    async def forget_answers(self, older_than: timedelta, limit: int) -> int:
        """As the port says."""
        with translated():
            return await self._retention.forget_answers(older_than, limit)

    async def forget_claims(self, older_than: timedelta) -> int:
        """As the port says."""
        with translated():
            return await self._retention.forget_claims(older_than)

    # -- reading

    async def generation(self, generation_id: str) -> Generation | None:
        """As the port says."""
        with translated():
            return await self._reader.generation(generation_id)

    async def head(self, generation_id: str) -> Generation | None:
        """As the port says."""
        with translated():
            return await self._reader.head(generation_id)

    async def state(self, generation_id: str) -> State | None:
        """As the port says."""
        with translated():
            return await self._reader.state(generation_id)

    async def events(self, generation_id: str, after_seq: int, limit: int) -> Sequence[Event]:
        """As the port says."""
        with translated():
            return await self._reader.events(generation_id, after_seq, limit)

    async def summarize(self, start: datetime, end: datetime, limit: int) -> Sequence[UsageSummary]:
        """As the port says."""
        with translated():
            return await summarized(self._generations, start, end, limit)

    async def pending(self, start: datetime, end: datetime) -> int:
        """As the port says."""
        with translated():
            return await pending(self._generations, start, end)

    async def redeliver(self, start: datetime, end: datetime, after: str, limit: int) -> Redelivered:
        """As the port says."""
        with translated():
            return await self._redelivery.step(start, end, after, limit)

    async def context(
        self, session_id: str, user_id: str, limit: int
    ) -> tuple[Session, Sequence[Message]] | None:
        """As the port says."""
        with translated():
            return await self._histories.read(session_id, user_id, limit)
