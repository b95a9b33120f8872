"""What a session has been, as the next question of it needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from services.chat.model import Message, Session
from services.chat.stores.mongo.contents import message_of, session_of
from services.chat.stores.mongo.documents import Document
from services.chat.stores.mongo.erasing import Erasing
from services.chat.stores.mongo.forks import Forks
from services.chat.stores.mongo.projections import Projections
from services.infra.mongo.client import Mongo

_MOST_BYTES = 4 * 1024**2
_AT_ONCE = 64


class Histories:
    """Reads a session and its last messages in one round trip, and once more when something of it had to be finished first."""

    def __init__(self, mongo: Mongo, projections: Projections) -> None:
        self._generations = mongo["chat_generations"]
        self._sessions = mongo["chat_sessions"]
        self._messages = mongo["chat_messages"]
        self._projections = projections
        self._forks = Forks(mongo.database, Erasing(mongo.database))

    async def read(
        self, session_id: str, user_id: str, limit: int
    ) -> tuple[Session, Sequence[Message]] | None:
        """The session of this person, and messages, oldest first: at most `limit` and about 4 MiB of them."""
        pending = {"session_id": session_id, "unprojected": {"$gt": ""}}
        left, session, messages = await asyncio.gather(
            self._generations.find_one(pending, {"_id": 1}),
            self._session(session_id, user_id),
            self._last(session_id, limit),
        )
        if left is not None or (session is not None and session.get("pending") == "copy"):
            await self._projections.repair_session(session_id)
            session = await self._session(session_id, user_id)
            if session is not None and session.get("pending") == "copy":
                await self._forks.finish(session)
                session = await self._session(session_id, user_id)
            messages = await self._last(session_id, limit)
        return None if session is None else (session_of(session), messages)

    async def _session(self, session_id: str, user_id: str) -> Document | None:
        wanted = {"_id": session_id, "user_id": user_id, "deleted": {"$ne": True}}
        return await self._sessions.find_one(wanted)

    async def _last(self, session_id: str, limit: int) -> list[Message]:
        newest = self._messages.find({"session_id": session_id}, {"words": 0}).sort("_id", -1).limit(limit)
        found: list[Message] = []
        total = 0
        async with newest.batch_size(min(limit, _AT_ONCE)) as cursor:
            async for message in cursor:
                total += _size(message)
                if found and total > _MOST_BYTES:
                    break
                found.append(message_of(message))
        return found[::-1]


def _size(message: Mapping[str, Any]) -> int:
    return int(message["size"])
