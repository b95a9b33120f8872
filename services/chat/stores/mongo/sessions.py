"""Sessions and their messages in MongoDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from services.capabilities.claims.model import Claim
from services.chat.model import Message, Role, Session, title_of
from services.chat.stores.mongo.claiming import claim_fields, earlier, require_unused
from services.chat.stores.mongo.contents import (
    message_document,
    message_of,
    session_document,
    session_of,
    session_size,
    to_micros,
)
from services.chat.stores.mongo.erasing import Erasing, tombstone
from services.chat.stores.mongo.forks import Forks
from services.chat.stores.mongo.pages import newest_first
from services.chat.stores.mongo.projections import Projections
from services.chat.stores.mongo.searching import search
from services.infra.mongo.client import Mongo
from services.infra.mongo.failures import translated
from services.kernel.errors import NotFound, Unavailable
from services.kernel.paging import Page, PageRequest

_THERE = {"deleted": {"$ne": True}}


class MongoSessionStore:
    """Keeps SessionStore's promises on MongoDB.

    Each operation has one write that commits it. What follows from that write is said in the document, and whoever reads next finishes it
    before it looks, however often that was tried before.
    """

    def __init__(self, mongo: Mongo, projections: Projections) -> None:
        self._database = mongo.database
        self._sessions = self._database["chat_sessions"]
        self._messages = self._database["chat_messages"]
        self._generations = self._database["chat_generations"]
        self._projections = projections
        self._erasing = Erasing(self._database)
        self._forks = Forks(self._database, self._erasing)

    # -- what was begun

    async def _finish_of(self, user_id: str) -> None:
        """Finish what was begun for a person, in whichever session."""
        await self._projections.repair(user_id)
        async for document in self._sessions.find(
            {"user_id": user_id, "pending": {"$in": ["copy", "erase"]}}
        ):
            await self._finish(document)

    async def _document(self, session_id: str, user_id: str | None) -> Mapping[str, Any] | None:
        """A session that is there, with all that was begun for it finished."""
        await self._projections.repair_session(session_id)
        found = await self._sessions.find_one({"_id": session_id})
        if found is None or (user_id is not None and found["user_id"] != user_id):
            return None
        if "pending" in found:
            await self._finish(found)
            found = await self._sessions.find_one({"_id": session_id})
        return None if found is None or found.get("deleted") else found

    async def _finish(self, document: Mapping[str, Any]) -> None:
        if document["pending"] == "copy":
            await self._forks.finish(document)
        else:
            await self._erasing.session(document["_id"])

    # -- sessions

    async def create_session(self, session: Session, claim: tuple[str, str, bytes] | None) -> Session:
        """As the port says."""
        with translated():
            return await self._store(session_document(session), claim, session)

    async def _store(
        self, document: dict[str, Any], claim: tuple[str, str, bytes] | None, session: Session
    ) -> Session:
        """Insert a session; the one that holds the claim already instead, if one does."""
        wanted = Claim(*claim) if claim is not None else None
        await require_unused(self._database, wanted, "chat_sessions")
        try:
            await self._sessions.insert_one({**document, **claim_fields(wanted)})
        except DuplicateKeyError:
            if wanted is not None:
                return await self._earlier(wanted, session)
            # Without a claim it met itself: an attempt whose answer was lost.
        return session

    async def _earlier(self, claim: Claim, session: Session) -> Session:
        holder = await earlier(self._database, claim, "chat_sessions")
        if holder is None:
            raise _forgotten()
        found = await self._document(holder["_id"], session.user_id)
        if found is None:
            # What was deleted since is not made anew by a late retry.
            raise NotFound.of("chat.session", holder["_id"])
        return session_of(found)

    async def session(self, session_id: str, user_id: str | None) -> Session | None:
        """As the port says."""
        with translated():
            found = await self._document(session_id, user_id)
            return None if found is None else session_of(found)

    async def sessions(
        self, user_id: str, project: str, include_archived: bool, page: PageRequest
    ) -> Page[Session]:
        """As the port says."""
        wanted: dict[str, Any] = {"user_id": user_id, **_THERE}
        if project:
            wanted["project"] = project
        if not include_archived:
            wanted["archived"] = False
        with translated():
            await self._finish_of(user_id)
            found, after, total = await newest_first(self._sessions, wanted, page)
            return Page([session_of(document) for document in found], after, total)

    async def update_session(
        self, session_id: str, user_id: str, changes: Mapping[str, str | bool], update_time: datetime
    ) -> Session | None:
        """As the port says."""
        values: dict[str, Any] = dict(changes)
        if "system_prompt" in changes:
            values["size"] = session_size(str(changes["system_prompt"]))
        change: dict[str, Any] = {"$max": {"updated_at": to_micros(update_time)}}
        if values:
            change["$set"] = values
        with translated():
            if await self._document(session_id, user_id) is None:
                return None
            found = await self._sessions.find_one_and_update(
                {"_id": session_id, "user_id": user_id, **_THERE},
                change,
                return_document=ReturnDocument.AFTER,
            )
            return None if found is None else session_of(found)

    async def delete_session(self, session_id: str, user_id: str) -> Sequence[str] | None:
        """As the port says."""
        with translated():
            # Forks that copy from it are finished first.
            await self._finish_of(user_id)
            done = await self._sessions.update_one(
                {"_id": session_id, "user_id": user_id, **_THERE},
                {"$set": {**tombstone(), "pending": "erase"}},
            )
            if not done.matched_count:
                return None
            return await self._erasing.session(session_id)

    async def fork_session(
        self, session: Session, message_id: str, claim: tuple[str, str, bytes] | None
    ) -> Session | None:
        """As the port says."""
        source = session.forked_from_session_id
        with translated():
            if claim is not None and await earlier(self._database, Claim(*claim), "chat_sessions"):
                # Also when the source has gone since.
                return await self._earlier(Claim(*claim), session)
            if await self._document(source, session.user_id) is None:
                return None
            if await self._messages.find_one({"_id": message_id, "session_id": source}, {"_id": 1}) is None:
                return None
            document = {
                **session_document(session),
                "pending": "copy",
                "copying": {"session_id": source, "message_id": message_id},
            }
            stored = await self._store(document, claim, session)
            if stored.session_id != session.session_id:
                return stored
            return session if await self._forks.finish(document) else None

    # -- messages

    async def messages(self, session_id: str, page: PageRequest) -> Page[Message]:
        """As the port says."""
        with translated():
            if await self._document(session_id, None) is None:
                return Page([])
            found, after, total = await newest_first(self._messages, {"session_id": session_id}, page)
            return Page([message_of(document) for document in found], after, total)

    async def create_message(
        self, message: Message, user_id: str, claim: tuple[str, str, bytes] | None
    ) -> Message | None:
        """As the port says."""
        assert message.create_time is not None
        session_id, wanted = message.session_id, Claim(*claim) if claim is not None else None
        with translated():
            if wanted is not None:
                held = await earlier(self._database, wanted, "chat_messages")
                if held is not None:
                    return await self._held(held)
                await require_unused(self._database, wanted, "chat_messages")
            # First, because a session that is taken for changed and is not does no harm.
            if await self._document(session_id, user_id) is None or not await self._touch(message, user_id):
                return None
            document = message_document(message, session_id, user_id, message.create_time)
            try:
                await self._messages.insert_one({**document, **claim_fields(wanted)})
            except DuplicateKeyError:
                if wanted is None:
                    # It met itself: an attempt whose answer was lost.
                    return message
                held = await earlier(self._database, wanted, "chat_messages")
                if held is None:
                    raise _forgotten() from None
                return await self._held(held)
            if await self._erasing.is_gone(session_id):
                await self._messages.delete_one({"_id": message.message_id})
                return None
            return message

    async def _held(self, document: Mapping[str, Any]) -> Message:
        """The message of the call that holds a claim. Raises NotFound when it was deleted since."""
        if await self._erasing.is_gone(document["session_id"]):
            raise NotFound.of("chat.message", document["_id"])
        return message_of(document)

    async def _touch(self, message: Message, user_id: str) -> bool:
        """Note that the session has changed, and let its first question name it. False when it is gone."""
        assert message.create_time is not None
        mine = {"_id": message.session_id, "user_id": user_id, **_THERE}
        changed = {"$max": {"updated_at": to_micros(message.create_time)}}
        title = title_of(message.text) if message.role is Role.USER else ""
        if title:
            named = await self._sessions.update_one(
                {**mine, "title": ""}, {**changed, "$set": {"title": title}}
            )
            if named.matched_count:
                return True
        return bool((await self._sessions.update_one(mine, changed)).matched_count)

    async def message(self, message_id: str, user_id: str) -> Message | None:
        """As the port says."""
        with translated():
            await self._finish_of(user_id)
            found = await self._messages.find_one({"_id": message_id, "user_id": user_id})
            if found is not None:
                return None if await self._erasing.is_gone(found["session_id"]) else message_of(found)
            # The answer to a call without a session stays in its generation.
            loose = await self._generations.find_one({"loose": message_id, "user_id": user_id}, {"answer": 1})
            return message_of(loose["answer"]) if loose is not None and "answer" in loose else None

    async def search(self, user_id: str, session_id: str, query: str, page: PageRequest) -> Page[Message]:
        """As the port says. Of very many hits the newest are ranked."""
        with translated():
            await self._finish_of(user_id)
            return await search(self._database, user_id, session_id, query, page)


def _forgotten() -> Unavailable:
    return Unavailable("the first call with this request_id was just forgotten; try again", retry_after=0.1)
