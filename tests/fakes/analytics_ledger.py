"""A service's own books, for tests of what holds Analytics against them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from services.analytics.model.balances import Books
from services.analytics.model.events import RecordedEvent
from services.analytics.ports import CatalogPrice
from services.kernel.errors import InvalidArgument, Unavailable
from tests.fakes.analytics_memory import MemoryUsageStore
from tests.fakes.analytics_sums import is_in, tallies_of


@dataclass
class Ledger:
    """Keeps the promises of ServiceBooks: `calls` are what the service remembers, `waiting` those that it has still to deliver. It does so after it has
    been asked for its books, while `delivers`; it tells at most `most_sums` at once, and nothing while it is `away`."""

    usage: MemoryUsageStore
    calls: list[RecordedEvent] = field(default_factory=list)
    waiting: list[RecordedEvent] = field(default_factory=list)
    delivers: bool = True
    most_sums: int = 10_000
    away: bool = False
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)
    redelivered: list[tuple[datetime, datetime]] = field(default_factory=list)

    async def summarize(self, start: datetime, end: datetime) -> Books:
        self.asked.append((start, end))
        if self.away:
            raise Unavailable("the service is away")
        tallies = tallies_of(_inside(self.calls, start, end))
        if len(tallies) > self.most_sums:
            raise InvalidArgument.field("end_time", "too many sums are in this span")
        books = Books(tallies, len(_inside(self.waiting, start, end)))
        if self.delivers:
            await self.usage.record(self.waiting)
            self.waiting.clear()
        return books

    async def redeliver(self, start: datetime, end: datetime) -> int:
        self.redelivered.append((start, end))
        found = _inside(self.calls, start, end)
        self.waiting += found
        return len(found)

    async def prices(self) -> Sequence[CatalogPrice]:
        return ()


def _inside(events: Collection[RecordedEvent], start: datetime, end: datetime) -> list[RecordedEvent]:
    return [event for event in events if is_in(event, start, end)]
