"""The reading of generations and their records."""

from __future__ import annotations

from collections.abc import Sequence

from services.chat.model import Event, Generation, State
from services.chat.stores.mongo.documents import generation_of
from services.chat.stores.mongo.events import EventLog
from services.infra.mongo.client import Mongo

_TO_READ_EVENTS = dict.fromkeys(
    ("state", "started", "last_seq", "tail", "tail_first_seq", "events_pruned", "forgotten", "gone"), 1
)


class GenerationReader:
    """Reads generations. The document comes first and the events after it, so that an end is never seen without what came before."""

    def __init__(self, mongo: Mongo, events: EventLog) -> None:
        self._generations = mongo["chat_generations"]
        self._events = events

    async def generation(self, generation_id: str) -> Generation | None:
        """The whole of it."""
        found = await self._generations.find_one({"_id": generation_id})
        if found is None or found.get("gone"):
            return None
        events = [] if "answer" in found else await self._events.read(found, 0)
        return generation_of(found, events)

    async def state(self, generation_id: str) -> State | None:
        """How far it has come."""
        found = await self._generations.find_one({"_id": generation_id}, {"state": 1, "gone": 1})
        return None if found is None or found.get("gone") else State(found["state"])

    async def events(self, generation_id: str, after_seq: int, limit: int) -> Sequence[Event]:
        """Its events behind a position, of at most about `limit` documents."""
        found = await self._generations.find_one({"_id": generation_id}, _TO_READ_EVENTS)
        if found is None or found.get("gone"):
            return []
        return await self._events.read(found, after_seq, limit)
