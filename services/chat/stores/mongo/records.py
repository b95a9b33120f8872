"""Records of generations in MongoDB."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from services.capabilities.claims.model import Claim
from services.capabilities.metering.model import UsageEvent
from services.chat.model import (
    Ending,
    Event,
    Generation,
    Lease,
    Message,
    NewGeneration,
    Session,
    State,
    UsageSummary,
)
from services.chat.ports import Flush, LeaseLost, Renewal
from services.chat.stores.mongo.claiming import require_unused, reused
from services.chat.stores.mongo.documents import (
    Document,
    claim_of,
    ending_changes,
    forgotten_changes,
    generation_document,
    generation_of,
    is_same_end,
)
from services.chat.stores.mongo.events import EventLog
from services.chat.stores.mongo.history import Histories
from services.chat.stores.mongo.leases import Leases
from services.chat.stores.mongo.projections import Projections
from services.chat.stores.mongo.retiring import Retention
from services.chat.stores.mongo.summing import summarized
from services.chat.stores.mongo.tails import MongoTails
from services.infra.mongo.client import Mongo
from services.infra.mongo.failures import translated
from services.kernel.errors import AlreadyExists, NotFound, Unavailable

_HOLDER = "chat_generations"
_ADOPTED_AT_ONCE = 16
_TO_READ_EVENTS = dict.fromkeys(
    ("state", "started", "last_seq", "tail", "tail_first_seq", "events_pruned", "forgotten", "gone"), 1
)
_TO_PROJECT = dict.fromkeys(("session_id", "opens", "asked", "unprojected", "ended_at"), 1)


class MongoRecordStore:
    """Keeps RecordStore's promises on MongoDB, by writes of single documents.

    A generation's document says whose it is (owner and epoch), and its end is a write on the condition that it still is. Its events are
    documents of their own, which can't be written on such a condition: here a take-over fences them. In this order it

    1. removes the old owner's lease, on the condition that its beat has not moved,
    2. finds the running generations whose owner has no lease, and for each of them
    3. holds the position after its last event (`EventLog.fence`),
    4. makes itself the owner, on the condition that the generation still runs and still is the old owner's,
    5. looks whether its own lease stands, and only then reads the records and ends them.

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
    as its lease's. Nothing is ever written on the ground of what was read from a server that is no primary any more, since each step is a
    write that a majority acknowledges or follows one.
    """

    def __init__(self, mongo: Mongo, projections: Projections | None = None) -> None:
        self._mongo = mongo
        self._generations = mongo[_HOLDER]
        self._sessions = mongo["chat_sessions"]
        self._messages = mongo["chat_messages"]
        self._projections = projections or Projections(mongo)
        self._events = EventLog(mongo)
        self._leases = Leases(mongo)
        self._tails = MongoTails(mongo)
        self._retention = Retention(mongo, self._events)
        self._histories = Histories(mongo, self._projections)
        # What began here and has not ended here: its appends need not look whose it is, since whoever takes it fences it first.
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
            found = self._generations.find(_running(lease.owner_id), {"cancel_requested": 1})
            running = {one["_id"]: bool(one.get("cancel_requested")) async for one in found}
            watched = await self._tails.watched_at(now, running) if running else frozenset()
            return Renewal(frozenset([key for key, cancel in running.items() if cancel]), watched)

    async def running(self, lease: Lease) -> Sequence[str]:
        """As the port says."""
        with translated():
            return [
                found["_id"] async for found in self._generations.find(_running(lease.owner_id), {"_id": 1})
            ]

    async def release(self, lease: Lease) -> None:
        """As the port says."""
        with translated():
            await self._leases.release(lease)

    async def take_over(self, mine: Lease, *, sole_owner: bool) -> Sequence[Generation]:
        """As the port says. A process is dead when it has not renewed its lease for its time while this store watched: so the first look at
        another's lease never takes it, unless it was given up."""
        with translated():
            await self._leases.remove_dead(mine, sole_owner=sole_owner)
            # Owners before holders: whoever begins has a lease already, so a new process is never taken for a dead one.
            owners = set(await self._generations.distinct("owner_id", {"state": State.RUNNING.value}))
            dead = owners - await self._leases.holders() - {mine.owner_id}
            if not dead:
                return []
            fields = {"owner_id": 1, "epoch": 1}
            which = {"state": State.RUNNING.value, "owner_id": {"$in": sorted(dead)}}
            orphans = [found async for found in self._generations.find(which, fields)]
            adopted: list[str] = []
            for first in range(0, len(orphans), _ADOPTED_AT_ONCE):
                these = orphans[first : first + _ADOPTED_AT_ONCE]
                won = await asyncio.gather(*(self._adopt(mine, orphan) for orphan in these))
                adopted += [one["_id"] for one, ours in zip(these, won, strict=True) if ours]
            if not await self._leases.is_held(mine):
                return []
            stored = [await self._generation(generation_id) for generation_id in adopted]
            return [generation for generation in stored if generation is not None]

    async def _adopt(self, mine: Lease, orphan: Document) -> bool:
        await self._events.fence(orphan["_id"])
        changed = await self._generations.update_one(
            {**orphan, "state": State.RUNNING.value},
            {"$set": {"owner_id": mine.owner_id, "epoch": mine.epoch}},
        )
        return changed.matched_count == 1

    # -- writing

    async def begin(self, lease: Lease, new: NewGeneration) -> str | None:
        """As the port says; NotFound when the session is gone."""
        document = generation_document(lease, new)
        with translated():
            try:
                await self._generations.insert_one(document)
            except DuplicateKeyError:
                earlier = await self._earlier(new)
                if earlier != document["_id"]:
                    return earlier
            try:
                await self._require_place(lease, new)
                if "unprojected" in document and not await self._projections.project(document):
                    raise NotFound.of("chat.session", new.generation.session_id)
            except (LeaseLost, AlreadyExists, NotFound):
                await self._take_back(lease, new)
                raise
        self._begun[document["_id"]] = lease
        return None

    async def _earlier(self, new: NewGeneration) -> str:
        """Whose insertion came before: this very call's, or that of the call which holds the claim."""
        generation = new.generation
        if generation.request_id:
            holder = await self.claimed(new.caller, generation.request_id, new.digest)
            if holder is not None:
                return holder
        if await self._generations.find_one({"_id": generation.generation_id}, {"_id": 1}):
            return generation.generation_id
        # The holder freed it between the two steps.
        raise Unavailable("the first call with this request_id has just failed; try again", retry_after=0.1)

    async def claimed(self, caller: str, request_id: str, digest: bytes) -> str | None:
        """As the port says."""
        claim = Claim(caller, request_id, digest)
        with translated():
            wanted = {"claim": f"{claim.caller} {claim.request_id}"}
            found = await self._generations.find_one(wanted, {"digest": 1})
        if found is None:
            return None
        if bytes(found["digest"]) != claim.digest:
            raise reused(claim)
        return str(found["_id"])

    async def _require_place(self, lease: Lease, new: NewGeneration) -> None:
        """Look, after the insertion, whether the lease, the session and the claim allowed it."""
        held, there, _ = await asyncio.gather(
            self._leases.is_held(lease),
            self._has_session(new),
            require_unused(self._mongo.database, claim_of(new), _HOLDER),
        )
        if not held:
            raise LeaseLost
        if not there:
            raise NotFound.of("chat.session", new.generation.session_id)

    async def _has_session(self, new: NewGeneration) -> bool:
        session_id = new.generation.session_id
        if new.session is not None or not session_id:
            return True
        wanted = {"_id": session_id, "user_id": new.generation.user_id, "deleted": {"$ne": True}}
        return await self._sessions.find_one(wanted, {"_id": 1}) is not None

    async def _take_back(self, lease: Lease, new: NewGeneration) -> None:
        """Remove what was inserted, unless somebody has adopted it, who ends it then."""
        deleted = await self._generations.delete_one(_ours(lease, new.generation.generation_id))
        if deleted.deleted_count:
            # A reader may have projected it meanwhile.
            if new.user_message is not None:
                await self._messages.delete_one({"_id": new.user_message.message_id})
            if new.session is not None:
                await self._sessions.delete_one({"_id": new.session.session_id})

    async def append(self, lease: Lease, flushes: Sequence[Flush]) -> set[str]:
        """As the port says."""
        ids = [flush.generation_id for flush in flushes]
        with translated():
            unknown = [key for key in ids if self._begun.get(key) != lease]
            ours = set(ids).difference(unknown)
            if unknown and await self._leases.is_held(lease):
                which = {"_id": {"$in": unknown}, **_running(lease.owner_id), "epoch": lease.epoch}
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
                {**_ours(lease, generation_id), "forgotten": {"$ne": True}}, changes, _TO_PROJECT
            )
            if ended is not None:
                if "unprojected" in ended:
                    answer = changes["$set"].get("answer")
                    await self._projections.project(ended if answer is None else {**ended, "answer": answer})
            elif await self._end(
                {**_ours(lease, generation_id), "forgotten": True},
                forgotten_changes(ending, usage_event),
                {"_id": 1},
            ):
                await self._clear(generation_id)
            else:
                stored = await self._generations.find_one({"_id": generation_id})
                if stored is None or not is_same_end(stored, ending):
                    self._begun.pop(generation_id, None)
                    return False
                if "unprojected" in stored:
                    await self._projections.project(stored)
                elif stored.get("forgotten") and not stored.get("events_pruned"):
                    await self._clear(generation_id)
        self._begun.pop(generation_id, None)
        return True

    async def _end(self, which: Document, changes: Document, fields: Document) -> Document | None:
        return await self._generations.find_one_and_update(
            which, changes, fields, return_document=ReturnDocument.AFTER
        )

    async def _clear(self, generation_id: str) -> None:
        """Remove the events of a generation whose session was deleted while it ran."""
        await self._events.remove([generation_id])
        await self._generations.update_one({"_id": generation_id}, {"$set": {"events_pruned": True}})

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
            return await self._generation(generation_id)

    async def _generation(self, generation_id: str) -> Generation | None:
        found = await self._generations.find_one({"_id": generation_id})
        if found is None or found.get("gone"):
            return None
        events = [] if "answer" in found else await self._events.read(found, 0)
        return generation_of(found, events)

    async def state(self, generation_id: str) -> State | None:
        """As the port says."""
        with translated():
            found = await self._generations.find_one({"_id": generation_id}, {"state": 1, "gone": 1})
        return None if found is None or found.get("gone") else State(found["state"])

    async def events(self, generation_id: str, after_seq: int, limit: int) -> Sequence[Event]:
        """As the port says."""
        with translated():
            found = await self._generations.find_one({"_id": generation_id}, _TO_READ_EVENTS)
            if found is None or found.get("gone"):
                return []
            return await self._events.read(found, after_seq, limit)

    async def summarize(self, start: datetime, end: datetime, limit: int) -> Sequence[UsageSummary]:
        """As the port says."""
        with translated():
            return await summarized(self._generations, start, end, limit)

    async def context(
        self, session_id: str, user_id: str, limit: int
    ) -> tuple[Session, Sequence[Message]] | None:
        """As the port says."""
        with translated():
            return await self._histories.read(session_id, user_id, limit)


def _running(owner_id: str) -> Document:
    return {"owner_id": owner_id, "state": State.RUNNING.value}


def _ours(lease: Lease, generation_id: str) -> Document:
    return {"_id": generation_id, **_running(lease.owner_id), "epoch": lease.epoch}
