"""The reading of generations and their records."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.chat.model import Event, Generation, State
from services.chat.stores.mongo.documents import Document, generation_of
from services.chat.stores.mongo.erasing import Erasing
from services.chat.stores.mongo.events import EventLog
from services.infra.mongo.client import Mongo

_TO_READ_EVENTS = dict.fromkeys(
    (
        "session_id",
        "state",
        "started",
        "last_seq",
        "tail",
        "tail_first_seq",
        "events_pruned",
        "forgotten",
        "gone",
    ),
    1,
)
_WITHOUT_CONTENT = dict.fromkeys(("answer", "tail", "reasoning", "opens", "asked"), 0)


class GenerationReader:
    """Reads generations. The document comes first and the events after it, so that an end is never seen without what came before."""

    def __init__(self, mongo: Mongo, events: EventLog) -> None:
        self._generations = mongo["chat_generations"]
        self._events = events
        self._erasing = Erasing(mongo.database)

    async def generation(self, generation_id: str) -> Generation | None:
        """The whole of it."""
        whole = await self._read(generation_id, None, 0)
        return None if whole is None else generation_of(*whole)

    async def head(self, generation_id: str) -> Generation | None:
        """The document without what was made."""
        found = await self._generations.find_one({"_id": generation_id}, _WITHOUT_CONTENT)
        if found is None or found.get("gone"):
            return None
        head = generation_of(found, ())
        if head.state is State.RUNNING:
            return replace(head, last_seq=await self._events.last_seq(generation_id))
        return head

    async def state(self, generation_id: str) -> State | None:
        """How far it has come."""
        found = await self._generations.find_one({"_id": generation_id}, {"state": 1, "gone": 1})
        return None if found is None or found.get("gone") else State(found["state"])

    async def events(self, generation_id: str, after_seq: int, limit: int) -> Sequence[Event]:
        """Its events behind a position, of at most about `limit` documents."""
        whole = await self._read(generation_id, _TO_READ_EVENTS, after_seq, limit)
        return [] if whole is None else whole[1]

    async def _read(
        self, generation_id: str, fields: Mapping[str, int] | None, after_seq: int, *limit: int
    ) -> tuple[Document, Sequence[Event]] | None:
        """A generation's document, and its events unless its answer is in it. A deletion of its session that was broken off is finished first."""
        while True:
            found = await self._generations.find_one({"_id": generation_id}, fields)
            if found is None or found.get("gone"):
                return None
            events, deleted = await asyncio.gather(
                self._events_of(found, after_seq, *limit), self._is_deleted(found)
            )
            if not deleted:
                return found, events
            await self._erasing.session(found["session_id"])

    async def _events_of(self, found: Document, after_seq: int, *limit: int) -> Sequence[Event]:
        return [] if "answer" in found else await self._events.read(found, after_seq, *limit)

    async def _is_deleted(self, found: Document) -> bool:
        if found.get("forgotten") or "session_id" not in found:
            return False
        return await self._erasing.is_there(found["session_id"]) is False
