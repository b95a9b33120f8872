"""Usage events that wait for their delivery: those of generations in the generations' documents, others in a collection of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bson import Binary
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from services.capabilities.metering.ports import Backlog, Waiting
from services.chat.stores.mongo.contents import from_micros, to_micros
from services.chat.stores.mongo.documents import Document
from services.infra.mongo.client import Mongo
from services.infra.mongo.failures import DUPLICATE_KEY, translated

_MOST_COUNTED = 100_000
_MARKED_AT_ONCE = 1000
_LEASE = {"_id": "lease"}
_LEASE_SECONDS = 5.0
_RENEW_SECONDS = 2.0
MARK_SECONDS = 120.0
"""How often is looked for events of an older version."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """Whose turn it is, and when this process first saw it so, by its monotonic clock."""

    owner_id: str
    beat: int
    at: float


class MongoOutbox:
    """Keeps the promises of `Outbox`. The lease of whoever delivers expires by the clocks of those who wait for it, as other leases do."""

    def __init__(self, mongo: Mongo, clock: Callable[[], float] = time.monotonic) -> None:
        self._generations = mongo["chat_generations"]
        self._others = mongo["chat_outbox"]
        self._relay = mongo["chat_relay"]
        self._clock = clock
        self._seen: _Seen | None = None
        self._renewed_at = float("-inf")
        self._marked_at = float("-inf")

    async def add(self, events: Sequence[Waiting], user_ids: Sequence[str]) -> None:
        """See `Outbox`."""
        now = to_micros(datetime.now(UTC))
        documents: list[Document] = [
            {"_id": event.event_id, "user_id": user_id, "payload": Binary(event.payload), "created_at": now}
            for event, user_id in zip(events, user_ids, strict=True)
        ]
        with translated():
            try:
                await self._others.insert_many(documents, ordered=False)
            except BulkWriteError as error:
                if any(met.get("code") != DUPLICATE_KEY for met in error.details.get("writeErrors", ())):
                    raise

    async def take(self, owner_id: str, limit: int, max_bytes: int) -> Sequence[Waiting]:
        """See `Outbox`."""
        with translated():
            if not await self._is_ours(owner_id):
                return []
            await self._mark_unshipped()
            found = [
                *[
                    Waiting(document["unshipped"], bytes(document["usage_event"]))
                    async for document in self._generations.find(
                        {"unshipped": {"$gt": ""}}, {"unshipped": 1, "usage_event": 1}
                    )
                    .sort("unshipped", 1)
                    .limit(limit)
                ],
                *[
                    Waiting(document["_id"], bytes(document["payload"]))
                    async for document in self._others.find({"set_aside": None}, {"payload": 1})
                    .sort("_id", 1)
                    .limit(limit)
                ],
            ]
        size = 0
        taken: list[Waiting] = []
        for event in sorted(found)[:limit]:
            size += len(event.payload)
            if taken and size > max_bytes:
                break
            taken.append(event)
        return taken

    async def remove(self, event_ids: Sequence[str]) -> None:
        """See `Outbox`."""
        ids = list(event_ids)
        with translated():
            await self._unship({"event_id": {"$in": ids}})
            await self._others.delete_many({"_id": {"$in": ids}})

    async def set_aside(self, event_id: str, why: str) -> None:
        """See `Outbox`."""
        with translated():
            found = await self._generations.find_one(
                {"event_id": event_id, "usage_event": {"$exists": True}}, {"user_id": 1, "usage_event": 1}
            )
            aside: Document = {"set_aside": why}
            new: Document = {"created_at": to_micros(datetime.now(UTC))}
            if found is not None:
                aside |= {"user_id": found["user_id"], "payload": found["usage_event"]}
            await self._others.update_one(
                {"_id": event_id}, {"$set": aside, "$setOnInsert": new}, upsert=found is not None
            )
            await self._unship({"event_id": event_id})

    async def _unship(self, which: Document) -> None:
        """Take the event out of generations. Those that were kept for it alone go; one that becomes such meanwhile is left for another time."""
        await self._generations.delete_many({**which, "gone": True})
        await self._generations.update_many(
            {**which, "gone": {"$ne": True}}, {"$unset": {"unshipped": "", "usage_event": ""}}
        )

    async def leave(self, owner_id: str) -> None:
        """See `Outbox`."""
        self._renewed_at = float("-inf")
        with translated():
            await self._relay.update_one({**_LEASE, "owner_id": owner_id}, {"$set": {"owner_id": ""}})

    async def backlog(self) -> Backlog:
        """See `Outbox`."""
        waiting: Document = {"set_aside": None}
        with translated():
            count = await self._generations.count_documents({"unshipped": {"$gt": ""}}, limit=_MOST_COUNTED)
            count += await self._others.count_documents(waiting, limit=_MOST_COUNTED)
            aside = await self._others.count_documents({"set_aside": {"$gt": ""}})
            first = await self._generations.find_one(
                {"unshipped": {"$gt": ""}}, {"ended_at": 1}, sort=[("unshipped", 1)]
            )
            other = await self._others.find_one(waiting, {"created_at": 1}, sort=[("_id", 1)])
        since = [first["ended_at"]] if first is not None else []
        since += [other["created_at"]] if other is not None else []
        oldest = (datetime.now(UTC) - from_micros(min(since))).total_seconds() if since else 0.0
        return Backlog(min(count, _MOST_COUNTED), max(0.0, oldest), aside)

    async def _mark_unshipped(self) -> None:
        """Mark the events that an older version has left in documents of generations, at first and every two minutes: while replicas are
        replaced one after the other, it still writes. Where there are none, the index says so at once."""
        now = self._clock()
        if now - self._marked_at < MARK_SECONDS:
            return
        # Null and not `$exists`: that is what the index has of a field that is not there.
        left: Document = {"usage_event": {"$exists": True}, "unshipped": None, "event_id": {"$gt": ""}}
        while True:
            found = await self._generations.find(left, {"event_id": 1}).limit(_MARKED_AT_ONCE).to_list()
            if not found:
                break
            await self._generations.bulk_write(
                [
                    # Not one that was delivered since.
                    UpdateOne(
                        {"_id": one["_id"], "usage_event": {"$exists": True}},
                        {"$set": {"unshipped": one["event_id"]}},
                    )
                    for one in found
                ],
                ordered=False,
            )
        self._marked_at = now

    # -- whose turn it is

    async def _is_ours(self, owner_id: str) -> bool:
        asked = self._clock()
        if asked - self._renewed_at < _RENEW_SECONDS:
            return True
        moved = {"$inc": {"beat": 1}}
        renewed = await self._relay.update_one({**_LEASE, "owner_id": owner_id}, moved)
        if not renewed.matched_count and not await self._took(owner_id, asked):
            return False
        self._renewed_at = asked
        return True

    async def _took(self, owner_id: str, asked: float) -> bool:
        """Take a lease that nobody has, or whose holder has not renewed it for its life while this process watched."""
        found = await self._relay.find_one(_LEASE)
        if found is None:
            try:
                await self._relay.insert_one({**_LEASE, "owner_id": owner_id, "beat": 0})
            except DuplicateKeyError:
                return False
            return True
        seen = (found["owner_id"], found["beat"])
        if self._seen is None or (self._seen.owner_id, self._seen.beat) != seen:
            self._seen = _Seen(*seen, at=self._clock())
        if found["owner_id"] and asked - self._seen.at < _LEASE_SECONDS:
            return False
        unmoved = {**_LEASE, "owner_id": found["owner_id"], "beat": found["beat"]}
        taken = await self._relay.update_one(unmoved, {"$set": {"owner_id": owner_id}, "$inc": {"beat": 1}})
        return bool(taken.matched_count)
