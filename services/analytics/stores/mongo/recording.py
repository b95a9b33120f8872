"""Takes events in, each once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from pymongo.errors import DocumentTooLarge, DuplicateKeyError

from services.analytics.model.events import RecordedEvent
from services.analytics.stores.mongo.batches import DUE, batch_document, nobodys
from services.analytics.stores.mongo.folding import Folding
from services.analytics.stores.mongo.people import People
from services.infra.mongo.client import Mongo
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id

_ATTEMPTS = 100
_AT_ONCE = 100
# Whoever inserted a batch is most probably folding it.
_PAUSES_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.4)


class Recording:
    """Inserts batches of events that are not known yet, and has them folded."""

    def __init__(self, mongo: Mongo, people: People, folding: Folding) -> None:
        self._batches = mongo["analytics_batches"]
        self._people = people
        self._folding = folding

    async def record(self, events: Sequence[RecordedEvent]) -> int:
        """See `ports.UsageStore`."""
        gone = await self._people.gone({event.series.user_id for event in events})
        left = {
            event.event_id: _nobodys(event) if event.series.user_id in gone else event for event in events
        }
        for _ in range(_ATTEMPTS):
            if not left:
                return 0
            read_at = time.monotonic()
            batch = batch_document(new_id(), list(left.values()))
            try:
                await self._batches.insert_one(batch)
            except DuplicateKeyError:
                known = await self._known(left, batch["_id"])
                if known is None:
                    break
                for event_id in known:
                    left.pop(event_id, None)
            except DocumentTooLarge:
                # Only of texts far longer than a call's: half of it is more than nothing.
                halves = list(left.values())
                middle = len(halves) // 2
                return await self.record(halves[:middle]) + await self.record(halves[middle:])
            else:
                break
        else:
            raise Unavailable("The events can't be recorded now; try again.", retry_after=1.0)
        await self._folding.fold(batch, read_at)
        return len(left)

    async def _known(self, event_ids: dict[str, RecordedEvent], own_id: str) -> set[str] | None:
        """Which of the events are stored, and counted by now; None when the insertion did succeed, and the driver repeated it."""
        known: set[str] = set()
        due: list[str] = []
        unknown = list(event_ids)
        while unknown:
            # A few at a time: mostly the first ones tell the batch that has them all.
            some = {"ids": {"$in": unknown[:_AT_ONCE]}}
            unknown = unknown[_AT_ONCE:]
            for batch in await self._batches.find(some, {"ids": 1, "fold": 1}).to_list():
                if batch["_id"] == own_id:
                    return None
                known.update(batch["ids"])
                if batch.get("fold") == DUE:
                    due.append(batch["_id"])
            unknown = [event_id for event_id in unknown if event_id not in known]
        await self._counted(due)
        return known

    async def _counted(self, batch_ids: list[str]) -> None:
        """Wait until others have folded these batches, or fold them."""
        due = {"_id": {"$in": batch_ids}, "fold": DUE}
        for pause in _PAUSES_SECONDS:
            if not batch_ids or await self._batches.find_one(due, {"_id": 1}) is None:
                return
            await asyncio.sleep(pause)
        await self._folding.fold_due({"_id": {"$in": batch_ids}})


def _nobodys(event: RecordedEvent) -> RecordedEvent:
    return event._replace(series=nobodys(event.series), session_id="", request_id="")
