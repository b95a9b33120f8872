"""Copies the messages of a session into one that was forked from it."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError

from services.chat.stores.mongo.erasing import Erasing, tombstone
from services.infra.mongo.failures import DUPLICATE_KEY

_AT_ONCE = 200
_BYTES_AT_ONCE = 8 * 1024**2


def copy_id(session_id: str, message_id: str) -> str:
    """The id of the copy of a message: always the same for one session, and ordered as the messages are, since what an id begins with
    is the moment of its making."""
    digest = hashlib.blake2b(f"{session_id} {message_id}".encode(), digest_size=8).digest()
    rest = int.from_bytes(digest) & 0x3FFF_FFFF_FFFF_FFFF
    return str(uuid.UUID(int=(uuid.UUID(message_id).int >> 64 << 64) | (0b10 << 62) | rest))


class Forks:
    """Finishes forks. A session that is forked says what it still has to copy (`copying`), copies have ids that follow from what they
    are copies of, so copying twice is harmless: whoever meets such a session finishes it."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], erasing: Erasing) -> None:
        self._sessions = database["chat_sessions"]
        self._messages = database["chat_messages"]
        self._erasing = erasing

    async def finish(self, fork: Mapping[str, Any]) -> bool:
        """Copy what the session of this document still lacks. False when it can't be had any more, since the one that it was forked from
        was deleted meanwhile: then the fork is, too."""
        session_id, copying = fork["_id"], fork["copying"]
        source = copying["session_id"]
        wanted = {"session_id": source, "_id": {"$lte": copying["message_id"]}}
        batch: list[dict[str, Any]] = []
        size = 0
        async for message in self._messages.find(wanted).sort("_id", 1).batch_size(20):
            batch.append(_copy(message, session_id))
            size += message["size"]
            if len(batch) >= _AT_ONCE or size >= _BYTES_AT_ONCE:
                await self._insert(batch)
                batch, size = [], 0
        await self._insert(batch)
        # Only while nobody has finished it: from then on it stands without its source.
        unfinished = {"_id": session_id, "pending": "copy"}
        if await self._erasing.is_gone(source):
            await self._sessions.update_one(
                unfinished, {"$set": {**tombstone(), "pending": "erase"}, "$unset": {"copying": ""}}
            )
        else:
            await self._sessions.update_one(unfinished, {"$unset": {"pending": "", "copying": ""}})
        there = await self._erasing.is_there(session_id)
        if there is False:
            await self._erasing.session(session_id)
        return there is True

    async def _insert(self, batch: list[dict[str, Any]]) -> None:
        if not batch:
            return
        try:
            await self._messages.insert_many(batch, ordered=False)
        except BulkWriteError as error:
            errors = error.details["writeErrors"]
            if error.details.get("writeConcernErrors") or any(one["code"] != DUPLICATE_KEY for one in errors):
                raise


def _copy(message: Mapping[str, Any], session_id: str) -> dict[str, Any]:
    copied = {**message, "_id": copy_id(session_id, message["_id"]), "session_id": session_id}
    for name in ("claim", "digest"):
        copied.pop(name, None)
    return copied
