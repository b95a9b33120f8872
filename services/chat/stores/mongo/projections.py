"""Puts what a generation brought, its session, its question and its answer, where readers of sessions look for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from pymongo.errors import BulkWriteError, DuplicateKeyError

from services.chat.stores.mongo.documents import ANSWERED, Document, stored_message
from services.chat.stores.mongo.erasing import Erasing
from services.infra.mongo.client import Mongo
from services.infra.mongo.failures import DUPLICATE_KEY, translated

_PENDING = {"$gt": ""}
_SETTLED = {"$unset": {"unprojected": "", "opens": "", "asked": ""}}


class Projections:
    """Finishes what generations begun and ended, but did not bring to its place.

    The document of a generation says what is left (`unprojected`), and holds it. Everything is inserted under its own id unless it is there,
    so doing it twice, or at once with others, does no harm. `unprojected` names the step, so that whoever is late with the first one
    does not take the second one for done.
    """

    def __init__(self, mongo: Mongo) -> None:
        self._generations = mongo["chat_generations"]
        self._sessions = mongo["chat_sessions"]
        self._messages = mongo["chat_messages"]
        self._erasing = Erasing(mongo.database)

    async def repair(self, user_id: str) -> None:
        """Finish what is left of a person's generations. Raises Unavailable."""
        if user_id:
            await self._repair({"user_id": user_id, "unprojected": _PENDING})

    async def repair_session(self, session_id: str) -> None:
        """Finish what is left of a session's generations. Raises Unavailable."""
        if session_id:
            await self._repair({"session_id": session_id, "unprojected": _PENDING})

    async def _repair(self, which: Document) -> None:
        with translated():
            # One that a call opens a session with may be behind one that asks in it.
            async for document in self._generations.find(which).sort("_id", 1).batch_size(10):
                await self.project(document)

    async def project(self, generation: Mapping[str, Any]) -> bool:
        """Put the parts of this document where they belong. False when there is no place for them any more, since the session was deleted or
        the generation taken back; then nothing of them stays."""
        session_id = generation["session_id"]
        messages = [stored_message(message) for message in _messages_of(generation)]
        inserted, _ = await asyncio.gather(self._insert(messages), self._write_session(generation))
        # What deletes a session marks it first, and then removes what it finds. So either it finds what was just written, or it is
        # seen here.
        there, settled = await asyncio.gather(
            self._erasing.is_there(session_id),
            self._generations.update_one(
                {"_id": generation["_id"], "unprojected": generation["unprojected"]}, _SETTLED
            ),
        )
        if not there:
            await self._remove(inserted)
            if there is False:
                await self._erasing.session(session_id)
            return False
        if settled.matched_count or await self._is_wanted(generation["_id"]):
            return True
        # Its beginning was taken back while this went on, or the person was deleted, whose session was not there to be marked.
        await self._remove(inserted)
        if "opens" in generation:
            await self._sessions.delete_one({"_id": session_id, "deleted": {"$ne": True}})
        return False

    async def _is_wanted(self, generation_id: str) -> bool:
        wanted = {"_id": generation_id, "forgotten": {"$ne": True}}
        return await self._generations.find_one(wanted, {"_id": 1}) is not None

    async def _insert(self, messages: list[Document]) -> list[str]:
        """Insert what is not there. Returns the ids of what was inserted by this."""
        if not messages:
            return []
        there: set[int] = set()
        try:
            await self._messages.insert_many(messages, ordered=False)
        except BulkWriteError as error:
            errors = error.details["writeErrors"]
            if error.details.get("writeConcernErrors") or any(one["code"] != DUPLICATE_KEY for one in errors):
                raise
            there = {one["index"] for one in errors}
        return [message["_id"] for index, message in enumerate(messages) if index not in there]

    async def _remove(self, message_ids: list[str]) -> None:
        if message_ids:
            await self._messages.delete_many({"_id": {"$in": message_ids}})

    async def _write_session(self, generation: Mapping[str, Any]) -> None:
        session_id, title = generation["session_id"], generation.get("asked", {}).get("title")
        if "opens" in generation:
            # One that was deleted is there still, as its tombstone.
            with contextlib.suppress(DuplicateKeyError):
                await self._sessions.insert_one(dict(generation["opens"]))
        there = {"_id": session_id, "deleted": {"$ne": True}}
        if title:
            await self._sessions.update_one({**there, "title": ""}, {"$set": {"title": title}})
        if generation["unprojected"] == ANSWERED:
            await self._sessions.update_one(there, {"$max": {"updated_at": generation["ended_at"]}})


def _messages_of(generation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    asked = [generation["asked"]["message"]] if "asked" in generation else []
    answer = [generation["answer"]] if "answer" in generation else []
    return [*asked, *answer]
