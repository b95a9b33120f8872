"""What is not kept for ever: events, answers without a session, request_ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.chat.stores.mongo.contents import to_micros
from services.chat.stores.mongo.documents import Document
from services.chat.stores.mongo.erasing import Erasing
from services.chat.stores.mongo.events import EventLog
from services.infra.mongo.client import Mongo

_AT_ONCE = 1000
_CONTENT = dict.fromkeys(
    (
        "answer",
        "asked",
        "opens",
        "tail",
        "tail_first_seq",
        "started",
        "reasoning",
        "failure",
        "claim",
        "digest",
        "loose",
    ),
    "",
)


class Retention:
    """Removes what is old. Ends carry the clocks of those who wrote them, so "long ago" is by the clock of whoever asks."""

    def __init__(self, mongo: Mongo, events: EventLog) -> None:
        self._mongo = mongo
        self._generations = mongo["chat_generations"]
        self._events = events
        self._erasing = Erasing(mongo.database)

    async def prune(self, older_than: timedelta, limit: int) -> int:
        """Remove the events of ended generations, and tell of how many."""
        # From the first write on nobody reads what is about to go; "going" is seen by whoever prunes next, if this process dies meanwhile.
        ids = await self._found(
            {
                "events_pruned": {"$in": [None, "going"]},
                "ended_at": {"$exists": True, "$lt": _ago(older_than)},
            },
            limit,
        )
        if ids:
            these = {"_id": {"$in": ids}}
            await self._generations.update_many(these, {"$set": {"events_pruned": "going"}})
            await self._events.remove(ids)
            gone = {"$set": {"events_pruned": True}, "$unset": {"tail": ""}}
            await self._generations.update_many(these, gone)
        return len(ids)

    async def forget_answers(self, older_than: timedelta, limit: int) -> int:
        """Remove generations without a session, and tell how many. What the meter is still to be told stays."""
        old = {"loose": {"$exists": True}, "ended_at": {"$exists": True, "$lt": _ago(older_than)}}
        ids = await self._found(old, limit)
        if ids:
            await self._events.remove(ids)
            these = {"_id": {"$in": ids}}
            await self._generations.delete_many({**these, "usage_event": {"$exists": False}})
            # One that was delivered meanwhile is found once more, and goes then.
            await self._generations.update_many(
                {**these, "usage_event": {"$exists": True}},
                {"$set": {"gone": True, "events_pruned": True}, "$unset": _CONTENT},
            )
        return len(ids)

    async def forget_claims(self, older_than: timedelta) -> int:
        """Forget some old request_ids and deleted sessions, and tell how many. Deletions that were broken off are finished before."""
        await self._erasing.unfinished()
        forgotten = 0
        for name in ("chat_generations", "chat_sessions", "chat_messages"):
            holders = self._mongo[name]
            old = {"claim": {"$exists": True}, "created_at": {"$lt": _ago(older_than)}}
            ids = [found["_id"] async for found in holders.find(old, {"_id": 1}).limit(_AT_ONCE)]
            if ids:
                await holders.update_many({"_id": {"$in": ids}}, {"$unset": {"claim": "", "digest": ""}})
            forgotten += len(ids)
        return forgotten + await self._erasing.forget_tombstones(datetime.now(UTC) - older_than)

    async def _found(self, which: Document, limit: int) -> list[str]:
        return [found["_id"] async for found in self._generations.find(which, {"_id": 1}).limit(limit)]


def _ago(older_than: timedelta) -> int:
    return to_micros(datetime.now(UTC) - older_than)
