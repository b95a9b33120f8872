"""Removes what a deleted person made from Chat's documents, one after the other, from wherever it had come to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bson import Binary
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError

from services.capabilities.metering.forgetting import NOT_AN_EVENT, without_person
from services.chat.stores.mongo.erasing import Erasing, tombstone
from services.chat.stores.mongo.outbox import MongoOutbox
from services.infra.mongo.client import Mongo
from services.infra.mongo.failures import translated

_AT_ONCE = 200
_POSITION = "position"

# By these a generation leads to a person, beside its claim and its session.
_WHO = {"user_id": "", "caller": "", "request_id": "", "api_key_id": ""}


class MongoDeletions:
    """Keeps the promises of `Deletions` for Chat on MongoDB.

    Messages, events and claims go; of sessions an empty tombstone stays for a while, which no late write gets past. Generations stay
    without the person, since they say what was used, the usage event in them, too, and so do those of other calls.
    """

    def __init__(self, mongo: Mongo, cancel_soon: Callable[[str], None]) -> None:
        """`cancel_soon` ends a generation if this process makes it; others are asked by their documents."""
        database: AsyncDatabase[dict[str, Any]] = mongo.database
        self._sessions = database["chat_sessions"]
        self._messages = database["chat_messages"]
        self._generations = database["chat_generations"]
        self._positions = database["chat_deletions"]
        self._others = database["chat_outbox"]
        self._outbox = MongoOutbox(mongo)
        self._erasing = Erasing(database)
        self._cancel_soon = cancel_soon

    async def position(self) -> int:
        """See `Deletions`."""
        with translated():
            found = await self._positions.find_one({"_id": _POSITION})
        return 0 if found is None else int(found["revocation_id"])

    async def advance(self, position: int) -> None:
        """See `Deletions`."""
        with translated():
            try:
                await self._positions.update_one(
                    {"_id": _POSITION}, {"$max": {"revocation_id": position}}, upsert=True
                )
            except DuplicateKeyError:
                # Another process made it at the same moment.
                await self._positions.update_one({"_id": _POSITION}, {"$max": {"revocation_id": position}})

    async def restart(self) -> None:
        """See `Deletions`."""
        with translated():
            await self._positions.update_one({"_id": _POSITION}, {"$set": {"revocation_id": 0}})

    async def remove(self, user_id: str) -> bool:
        """See `Deletions`."""
        if not user_id:
            return True
        with translated():
            running = await self._erasing.ask_to_end({"user_id": user_id})
            for generation_id in running:
                self._cancel_soon(generation_id)
            # Whoever brings one of these to its place at this moment finds it forgotten, and takes that back.
            await self._generations.update_many(
                {"user_id": user_id, "unprojected": {"$gt": ""}},
                {"$set": {"forgotten": True}, "$unset": {"opens": "", "asked": "", "unprojected": ""}},
            )
            # First the sessions: what is written for one from now on finds that it is gone, and is taken back.
            await self._sessions.update_many(
                {"user_id": user_id},
                {
                    "$set": {**tombstone(), "user_id": ""},
                    "$unset": {"claim": "", "digest": "", "pending": "", "copying": ""},
                },
            )
            await self._messages.delete_many({"user_id": user_id})
            ended = {"user_id": user_id, "state": {"$ne": "running"}}
            while True:
                found = (
                    await self._generations.find(ended, {"event_id": 1, "usage_event": 1})
                    .limit(_AT_ONCE)
                    .to_list()
                )
                if not found:
                    break
                for document in found:
                    await self._forget(document)
            async for waiting in self._others.find({"user_id": user_id}, {"payload": 1, "set_aside": 1}):
                payload = without_person(bytes(waiting["payload"]))
                nobody: dict[str, Any] = {"user_id": "", "payload": Binary(payload)}
                if not payload:
                    nobody["set_aside"] = waiting.get("set_aside") or NOT_AN_EVENT
                await self._others.update_one({"_id": waiting["_id"]}, {"$set": nobody})
        return not running

    async def _forget(self, document: Mapping[str, Any]) -> None:
        """Take what is left of the person out of a generation that has ended; the last write is the one that it is not found by again."""
        # The first event names the session.
        values: dict[str, Any] = {**_WHO, "started": Binary(b"")}
        event = document.get("usage_event")
        if event is not None:
            event = without_person(bytes(event))
            values["usage_event"] = Binary(event)
        await self._erasing.generations({"_id": document["_id"]})
        await self._generations.update_one(
            {"_id": document["_id"]},
            {"$set": values, "$unset": {"claim": "", "digest": "", "session_id": ""}},
        )
        if event == b"":
            await self._outbox.set_aside(document["event_id"], NOT_AN_EVENT)
