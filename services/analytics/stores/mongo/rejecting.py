"""Keeps bad items of batches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from antiphon.usage.v1 import usage_pb2
from bson import Binary
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from services.analytics.model.events import RejectedEvent
from services.analytics.stores.mongo.batches import Document
from services.analytics.stores.mongo.people import People
from services.analytics.stores.mongo.scanning import from_micros, to_micros
from services.capabilities.metering.forgetting import without_person
from services.infra.mongo.client import Mongo
from services.infra.mongo.failures import DUPLICATE_KEY
from services.kernel.errors import Unavailable, Violation
from services.kernel.paging import Page, PageRequest

_AT_ONCE = 200
_ATTEMPTS = 20
# What is larger is no event of ours, and is kept without its content.
_MOST_BYTES = 64 * 1024
# A service whose clock is wrong sends nothing but bad items.
_MOST_KEPT = 10_000


class Rejecting:
    """Keeps bad items, each once with a count; people are taken out as everywhere (see `People`)."""

    def __init__(self, mongo: Mongo, people: People) -> None:
        self._rejected = mongo["analytics_rejected"]
        self._people = people

    async def reject(self, items: Sequence[RejectedEvent]) -> None:
        """See `ports.UsageStore`."""
        owners = [_owner(item.payload) for item in items]
        gone = await self._people.gone(owners)
        left = [
            _counted(replace(item, payload=without_person(item.payload)), "")
            if owner in gone
            else _counted(item, owner)
            for item, owner in zip(items, owners, strict=True)
        ]
        for _ in range(_ATTEMPTS):
            if not left:
                break
            # Of those that met a duplicate key another process kept the same item at the same moment.
            left = [left[index] for index in await self._written(left)]
        else:
            raise Unavailable("Bad items can't be kept now; try again.", retry_after=1.0)
        for user_id in await self._people.gone(set(owners) - gone):
            await self.take_out(user_id)

    async def _written(self, updates: list[UpdateOne]) -> list[int]:
        try:
            await self._rejected.bulk_write(updates, ordered=False)
        except BulkWriteError as error:
            failures = error.details["writeErrors"]
            if error.details.get("writeConcernErrors") or any(
                one["code"] != DUPLICATE_KEY for one in failures
            ):
                raise
            return [one["index"] for one in failures]
        return []

    async def take_out(self, user_id: str) -> None:
        """Take a person out of what is kept."""
        theirs = {"user_id": user_id}
        while found := await self._rejected.find(theirs).limit(_AT_ONCE).to_list():
            for document in found:
                payload = without_person(bytes(document["payload"]))
                values = {"payload": Binary(payload), "digest": _digest(document["source"], payload)}
                which = {"_id": document["_id"]}
                try:
                    await self._rejected.update_one(which, {"$set": values, "$unset": {"user_id": ""}})
                except DuplicateKeyError:
                    # Without the person it is what another one is; both stay.
                    del values["digest"]
                    await self._rejected.update_one(
                        which, {"$set": values, "$unset": {"user_id": "", "digest": ""}}
                    )

    async def page(self, page: PageRequest) -> Page[RejectedEvent]:
        """See `ports.UsageStore.rejected`."""
        later = {} if page.after is None else {"_id": {"$lt": page.after}}
        cursor = self._rejected.find(later).sort("_id", -1).skip(page.skip).limit(page.size + 1)
        found = [_item(document) async for document in cursor]
        items = found[: page.size]
        more = items[-1].rejected_event_id if len(found) > len(items) else None
        return Page(items, more, total_size=await self.count())

    async def count(self) -> int:
        """See `ports.UsageStore.rejected_count`."""
        return await self._rejected.count_documents({})

    async def forget(self, before: datetime) -> None:
        """Forget what came before a moment, and all but the newest."""
        await self._rejected.delete_many({"received_at": {"$lt": to_micros(before)}})
        newest = self._rejected.find({}, {"_id": 1}).sort("_id", -1)
        for found in await newest.skip(_MOST_KEPT).limit(1).to_list():
            await self._rejected.delete_many({"_id": {"$lte": found["_id"]}})


def _owner(payload: bytes) -> str:
    return usage_pb2.UsageEvent.FromString(payload).user_id


def _digest(source: str, payload: bytes) -> str:
    return hashlib.blake2b(source.encode() + b"\0" + payload, digest_size=16).hexdigest()


def _counted(item: RejectedEvent, owner: str) -> UpdateOne:
    """The update that keeps an item, or counts it once more."""
    is_kept = len(item.payload) <= _MOST_BYTES
    fields: Document = {
        "_id": item.rejected_event_id,
        "source": item.source,
        "payload": Binary(item.payload if is_kept else b""),
        "violations": [[one.field, one.description] for one in item.violations],
        "received_at": to_micros(item.receive_time),
    }
    if owner and is_kept:
        fields["user_id"] = owner
    return UpdateOne(
        {"digest": _digest(item.source, item.payload)},
        {"$inc": {"receive_count": 1}, "$setOnInsert": fields},
        upsert=True,
    )


def _item(document: Document) -> RejectedEvent:
    return RejectedEvent(
        rejected_event_id=document["_id"],
        source=document["source"],
        payload=bytes(document["payload"]),
        violations=tuple(Violation(*one) for one in document["violations"]),
        receive_time=from_micros(document["received_at"]),
        receive_count=document["receive_count"],
    )
