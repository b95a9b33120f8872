"""Tells single events in the order of their ids."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from datetime import datetime

from services.analytics.model.events import RecordedEvent
from services.analytics.model.figures import Filter
from services.analytics.stores.covering import Coverage
from services.analytics.stores.mongo.batches import end_of, events_of, parts_of, series_of
from services.analytics.stores.mongo.layout import DAY_MINUTES, MINUTE
from services.analytics.stores.mongo.scanning import Run, counts, to_micros, wanted_batches
from services.infra.mongo.client import Mongo

_QUARTER = 15 * MINUTE
_DAY = DAY_MINUTES * MINUTE
_BATCHES_AT_ONCE = 20


class Exporting:
    """Reads events page by page; `kept` says what there is."""

    def __init__(self, mongo: Mongo, kept: Callable[[], Coverage]) -> None:
        self._batches = mongo["analytics_batches"]
        self._kept = kept

    async def events(
        self, start: datetime, end: datetime, which: Filter, after: str, limit: int
    ) -> list[RecordedEvent]:
        """See `ports.UsageStore`.

        Goes through the time in windows, a quarter of an hour first, and longer ones where there is little.
        """
        found: list[RecordedEvent] = []
        position = to_micros(max(start, self._kept().events_from))
        if after:
            position = max(position, end_of(after))
        last, length = to_micros(end), _QUARTER
        while position < last and len(found) < limit:
            # To the end of a quarter, so that batches of one minute are looked at in one window.
            window = Run(position, min((position + length) // _QUARTER * _QUARTER, last))
            some = await self._window(window, which, after, limit - len(found))
            found += some
            position = window.end
            length = _QUARTER if some else min(2 * length, _DAY)
        return found

    async def _window(self, window: Run, which: Filter, after: str, limit: int) -> list[RecordedEvent]:
        """The first events of a window. Batches come by their first ids, so those that can't have any of them are not read."""
        wanted = {**wanted_batches([window], which), "last_id": {"$gt": after}}
        keys = await self._batches.find(wanted, {"first_id": 1}).sort("first_id", 1).to_list()
        found: list[RecordedEvent] = []
        for first in range(0, len(keys), _BATCHES_AT_ONCE):
            if len(found) == limit and keys[first]["first_id"] > found[-1].event_id:
                break
            ids = [key["_id"] for key in keys[first : first + _BATCHES_AT_ONCE]]
            async for batch in self._batches.find({"_id": {"$in": ids}}):
                for part, event_ids in parts_of(batch):
                    if counts(series_of(part), which):
                        found += [
                            event
                            for event in events_of(part, event_ids)
                            if window.start <= event.end_time < window.end and event.event_id > after
                        ]
                await asyncio.sleep(0)
            found = heapq.nsmallest(limit, found)
        return found
