"""The events of records: a document for each flush of a generation, whose key is the position of its first event."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from bson import Binary, MaxKey, MinKey
from pymongo import DeleteMany
from pymongo.errors import BulkWriteError, DuplicateKeyError

from services.chat.mapping.events import events_from_bytes, events_to_bytes
from services.chat.model import Event, State
from services.chat.ports import Flush
from services.chat.stores.mongo.documents import Document, started_of, tail_of
from services.infra.mongo.client import Mongo
from services.infra.mongo.failures import DUPLICATE_KEY

_FIRST_POSITION = 2
_ALL = 1_000_000


class EventLog:
    """Inserts, fences, reads and removes events. Event 1 and those of the end are in the document of the generation.

    The positions of a record are dense, and its owner waits for the fate of a flush before it sends the next: so its next document has
    the position after the last one, and whoever holds that key has stopped it. A `fence` is a document that holds it, without events.
    """

    def __init__(self, mongo: Mongo) -> None:
        self._events = mongo["chat_events"]

    async def insert(self, flushes: Sequence[Flush]) -> set[str]:
        """Insert flushes, of different generations, in one step. Returns the ids of the generations whose flush is stored now, by this or by
        an earlier attempt; the position of the others is taken."""
        documents: list[Document] = [
            {
                "_id": _key(flush.generation_id, flush.first_seq),
                "seq": flush.seq,
                "payload": Binary(events_to_bytes(flush.events)),
            }
            for flush in flushes
        ]
        accepted = {flush.generation_id for flush in flushes}
        try:
            await self._events.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            errors = error.details["writeErrors"]
            if error.details.get("writeConcernErrors") or any(one["code"] != DUPLICATE_KEY for one in errors):
                raise
            taken = [documents[one["index"]] for one in errors]
            held = await self._held([document["_id"] for document in taken])
            for document in taken:
                if held.get(_pair(document["_id"])) != bytes(document["payload"]):
                    accepted.discard(document["_id"]["g"])
        return accepted

    async def _held(self, keys: list[Document]) -> dict[tuple[str, int], bytes]:
        found = self._events.find({"_id": {"$in": keys}})
        return {
            _pair(document["_id"]): bytes(document["payload"])
            async for document in found
            if "payload" in document
        }

    async def fence(self, generation_id: str) -> None:
        """Hold the position after the last one, so that a late flush meets it. Repeating it does no more."""
        while True:
            last = await self._events.find_one(_record(generation_id), {"seq": 1}, sort=[("_id", -1)])
            if last is not None and "seq" not in last:
                return
            position = _FIRST_POSITION if last is None else last["seq"] + 1
            try:
                await self._events.insert_one({"_id": _key(generation_id, position), "fence": True})
            except DuplicateKeyError:
                # The old owner came before, or another one that takes over did.
                continue
            return

    async def last_seq(self, generation_id: str) -> int:
        """The last position that is covered by a document here, or by event 1."""
        last = await self._events.find_one(_record(generation_id), {"seq": 1}, sort=[("_id", -1)])
        if last is None:
            return _FIRST_POSITION - 1
        position: int = last["seq"] if "seq" in last else last["_id"]["s"] - 1
        return position

    async def read(self, generation: Mapping[str, Any], after_seq: int, limit: int = _ALL) -> list[Event]:
        """Events that begin after `after_seq`, of at most about `limit` documents, without a gap.

        `generation` was read before them, so that an end that it tells comes after all that is read here.
        """
        if generation.get("forgotten") or generation.get("events_pruned"):
            return []
        ended = generation["state"] != State.RUNNING.value
        bound = generation.get("tail_first_seq", generation.get("last_seq", 0) + 1) if ended else None
        rows, complete = await self._rows(generation["_id"], after_seq, limit, bound)
        found = started_of(generation) if after_seq < 1 else []
        found += [event for row in rows for event in events_from_bytes(bytes(row["payload"]))]
        if ended and complete:
            found += tail_of(generation)
        return _dense([event for event in found if event.seq > after_seq], after_seq)

    async def _rows(
        self, generation_id: str, after_seq: int, limit: int, bound: int | None
    ) -> tuple[list[Mapping[str, Any]], bool]:
        """The documents that cover what is behind `after_seq` and before `bound`, and whether these are all."""
        last = MaxKey() if bound is None else bound
        behind = self._events.find(
            {"_id": {"$gt": _key(generation_id, after_seq), "$lt": _key(generation_id, last)}}
        )
        rows, covering = await asyncio.gather(
            behind.sort("_id", 1).limit(limit).to_list(), self._covering(generation_id, after_seq)
        )
        complete = len(rows) < limit
        return [row for row in (*covering, *rows) if "payload" in row], complete

    async def _covering(self, generation_id: str, after_seq: int) -> list[Document]:
        """The document in the midst of which `after_seq` may be."""
        if after_seq < _FIRST_POSITION:
            return []
        begin, end = _key(generation_id, MinKey()), _key(generation_id, after_seq)
        found = await self._events.find_one({"_id": {"$gte": begin, "$lte": end}}, sort=[("_id", -1)])
        return [] if found is None or found.get("seq", 0) <= after_seq else [found]

    async def clear(self, generation_id: str) -> None:
        """Remove the events of a generation; a fence stays, as its old owner may still be about to write."""
        await self._events.delete_many({**_record(generation_id), "payload": {"$exists": True}})

    async def remove(self, generation_ids: Sequence[str]) -> None:
        """Remove all that is left of these generations, which ended long ago."""
        if generation_ids:
            await self._events.bulk_write(
                [DeleteMany(_record(generation_id)) for generation_id in generation_ids], ordered=False
            )


def _key(generation_id: str, position: object) -> Document:
    return {"g": generation_id, "s": position}


def _pair(key: Mapping[str, Any]) -> tuple[str, int]:
    return key["g"], key["s"]


def _record(generation_id: str) -> Document:
    """All documents of a generation. By its first field alone the key's index would not be used."""
    return {"_id": {"$gte": _key(generation_id, MinKey()), "$lte": _key(generation_id, MaxKey())}}


def _dense(events: list[Event], after_seq: int) -> list[Event]:
    """The events up to the first gap: what is behind it was read before what belongs there was written."""
    expected = after_seq + 1
    for index, event in enumerate(events):
        if event.first_seq > expected:
            return events[:index]
        expected = event.seq + 1
    return events
