"""Usage events of generations that have ended, for their delivery once more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bson import Binary
from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection

from services.capabilities.metering import outbox
from services.capabilities.metering.model import Redelivered
from services.chat.generation.endings import usage_event_again
from services.chat.stores.mongo.documents import Document, generation_of
from services.infra.mongo.client import Mongo
from services.kernel.ids import first_id_at

_CONTENT = dict.fromkeys(("answer", "asked", "opens", "reasoning", "started", "tail"), 0)


async def pending(generations: AsyncCollection[Document], start: datetime, end: datetime) -> int:
    """How many events of generations, made in [start, end), wait for their delivery."""
    return await generations.count_documents(
        {"unshipped": {"$gte": first_id_at(start), "$lt": first_id_at(end)}}
    )


class Redelivery:
    """Makes events anew in the documents of their generations."""

    def __init__(self, mongo: Mongo) -> None:
        self._generations = mongo["chat_generations"]
        self._others = mongo["chat_outbox"]

    async def step(self, start: datetime, end: datetime, after: str, limit: int) -> Redelivered:
        """See `RecordStore.redeliver`."""
        span = {"$gte": first_id_at(start), "$lt": first_id_at(end), **({"$gt": after} if after else {})}
        found = (
            await self._generations.find({"event_id": span}, _CONTENT)
            .sort("event_id", 1)
            .limit(limit)
            .to_list()
        )
        if not found:
            return Redelivered("", 0)
        told = [one for one in found if "unshipped" not in one]
        count = 0
        if told:
            result = await self._generations.bulk_write([_again(one) for one in told], ordered=False)
            count = result.modified_count
            await self._others.delete_many({"_id": {"$in": [one["event_id"] for one in told]}})
        return Redelivered(found[-1]["event_id"], count)


def _again(document: Mapping[str, Any]) -> UpdateOne:
    first_token = document.get("time_to_first_token")
    event = usage_event_again(
        generation_of(document, ()),
        document["event_id"],
        None if first_token is None else timedelta(microseconds=first_token),
    )
    return UpdateOne(
        # Whose person was deleted meanwhile is left for the next time, which finds nobody.
        {"_id": document["_id"], "user_id": document["user_id"], "unshipped": {"$exists": False}},
        {"$set": {"usage_event": Binary(outbox.payload(event)), "unshipped": event.event_id}},
    )
