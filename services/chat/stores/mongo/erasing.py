"""Takes the content out of what was deleted, so that what is left says how much was used, and nothing brings the content back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bson import MaxKey, MinKey
from pymongo.asynchronous.database import AsyncDatabase

from services.chat.stores.mongo.contents import to_micros

_AT_ONCE = 200

# Content, and what would be projected.
_CONTENT = dict.fromkeys(("answer", "asked", "loose", "opens", "tail", "tail_first_seq", "unprojected"), "")
_EMPTY_SESSION = {
    "title": "",
    "project": "",
    "model": "",
    "system_prompt": "",
    "forked_from_session_id": "",
    "size": 0,
}


def tombstone() -> dict[str, Any]:
    """What a session is set to when it is deleted; its claim stays, so that a late retry of what made it does not make it anew."""
    return {**_EMPTY_SESSION, "deleted": True, "deleted_at": to_micros(datetime.now(UTC))}


class Erasing:
    """Finishes deletions. Each step may be repeated, and several processes may be at the same."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._sessions = database["chat_sessions"]
        self._messages = database["chat_messages"]
        self._generations = database["chat_generations"]
        self._events = database["chat_events"]

    async def session(self, session_id: str) -> Sequence[str]:
        """Remove what is left of a session that is a tombstone already. Returns the ids of its generations that run: they are asked to
        cancel, and their ends store no content."""
        return await self._sessions_content([session_id])

    async def unfinished(self) -> None:
        """Finish some of the deletions that were broken off, whoever's they are."""
        found = await self._sessions.find({"pending": "erase"}, {"_id": 1}).limit(_AT_ONCE).to_list()
        if found:
            await self._sessions_content([document["_id"] for document in found])

    async def _sessions_content(self, session_ids: list[str]) -> Sequence[str]:
        these = {"session_id": {"$in": session_ids}}
        running = await self.ask_to_end(these)
        await self.generations(these)
        # A claim outlives what it stands for, so that a late retry does not make that anew.
        await self._messages.update_many(
            {**these, "claim": {"$exists": True}},
            {
                "$set": {"texts": [], "tool_calls": [], "tool_call_id": "", "size": 0},
                "$unset": {"words": "", "parts": ""},
            },
        )
        await self._messages.delete_many({**these, "claim": {"$exists": False}})
        await self._sessions.update_many(
            {"_id": {"$in": session_ids}, "pending": "erase"}, {"$unset": {"pending": "", "copying": ""}}
        )
        return running

    async def is_gone(self, session_id: str) -> bool:
        """Whether a session was deleted. Whoever has written something for it asks this afterwards, and takes it back then: either the
        deletion finds what was written, or the writer finds the deletion."""
        return await self.is_there(session_id) is not True

    async def is_there(self, session_id: str) -> bool | None:
        """Whether a session is there; False when it was deleted, and None when nothing is known of it (any more). Only the former is a reason
        to remove what others have written."""
        found = await self._sessions.find_one({"_id": session_id}, {"deleted": 1})
        return None if found is None else found.get("deleted") is not True

    async def ask_to_end(self, which: dict[str, Any]) -> list[str]:
        """Have the generations end that run, without content. Returns their ids."""
        wanted = {**which, "state": "running"}
        await self._generations.update_many(
            wanted,
            {
                "$set": {"cancel_requested": True, "forgotten": True},
                "$unset": {"opens": "", "asked": "", "unprojected": ""},
            },
        )
        return [found["_id"] async for found in self._generations.find(wanted, {"_id": 1})]

    async def generations(self, which: dict[str, Any]) -> None:
        """Take the content out of generations that have ended, and remove their events."""
        ended = {**which, "state": {"$ne": "running"}}
        await self._generations.update_many(
            {**ended, "failure.code": {"$exists": True}},
            {"$set": {"failure.message": "", "failure.metadata": {}, "failure.retry_after": None}},
        )
        await self._generations.update_many(
            ended, {"$set": {"forgotten": True, "reasoning": ""}, "$unset": _CONTENT}
        )
        while True:
            left = self._generations.find({**ended, "events_pruned": {"$ne": True}}, {"_id": 1}).limit(
                _AT_ONCE
            )
            ids = [found["_id"] async for found in left]
            if not ids:
                return
            for generation_id in ids:
                await self.events(generation_id)
            await self._generations.update_many({"_id": {"$in": ids}}, {"$set": {"events_pruned": True}})

    async def events(self, generation_id: str) -> None:
        """Remove the events of a generation; what fences an old owner, who may still be about to write, stays until it is pruned."""
        await self._events.delete_many(
            {
                "_id": {
                    "$gte": {"g": generation_id, "s": MinKey()},
                    "$lte": {"g": generation_id, "s": MaxKey()},
                },
                "payload": {"$exists": True},
            }
        )

    async def forget_tombstones(self, before: datetime) -> int:
        """Forget some of the sessions that were deleted before a moment, and tell how many; 0 when none is left."""
        old = self._sessions.find({"deleted_at": {"$lt": to_micros(before)}}, {"_id": 1}).limit(_AT_ONCE)
        ids = [found["_id"] async for found in old]
        if ids:
            # What a process that was paused for long brought back meanwhile goes, too, and what a deletion that was broken off has left:
            # without the tombstone nobody would know.
            await self._sessions_content(ids)
            await self._messages.delete_many({"session_id": {"$in": ids}})
            await self._sessions.delete_many({"_id": {"$in": ids}})
        return len(ids)
