"""Events and figures in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime, timedelta

import psycopg

from services.analytics.model.balances import FigureTallies, Tallies
from services.analytics.model.events import RecordedEvent, RejectedEvent
from services.analytics.model.figures import Durations, Filter, Group, Question, Sum
from services.analytics.stores import exports, tallies
from services.analytics.stores.covering import Coverage
from services.analytics.stores.folding import Folding, minutes_from
from services.analytics.stores.ingest import RECORD, record_values
from services.analytics.stores.months import EventMonths, month_of
from services.analytics.stores.questions import Questions, is_of_leaders, reading
from services.analytics.stores.rejected import SqlRejectedEvents
from services.analytics.stores.series import SeriesDirectory
from services.analytics.stores.sweeping import SeriesSweep
from services.analytics.stores.turns import Turns
from services.capabilities.metering.model import ServiceType
from services.infra.postgres.database import Database
from services.kernel.paging import Page, PageRequest

_REPAIR_LOCK = 0x616E616C_72657061  # "analrepa" in ASCII: the number that all replicas agree on
# So many rows that are not folded cost a question little.
_MOST_UNFOLDED = 10_000
# Others forget by their own clocks.
_CLOCK_MARGIN = timedelta(hours=1)
_FORGET_PEOPLE_LATER = timedelta(days=7)


class SqlUsageStore:
    """`ports.UsageStore` over the tables of the schema `analytics`."""

    def __init__(
        self, database: Database, *, event_retention: timedelta, figure_retention: timedelta
    ) -> None:
        """`event_retention` and `figure_retention`: how long events and figures are kept at least."""
        self._database = database
        self._event_retention = event_retention
        self._figure_retention = figure_retention
        self._series = SeriesDirectory(database)
        self._sweep = SeriesSweep(database)
        self._months = EventMonths(database)
        self._folding = Folding(database)
        self._rejected = SqlRejectedEvents(database)
        self._unfolded = 0
        self._is_untidy = asyncio.Event()
        self._turns = Turns(max(1, database.pool_size // 3))
        self._dropped: datetime | None = None
        self._knows_dropped = False

    async def record(self, events: Sequence[RecordedEvent]) -> int:
        """See `ports.UsageStore`."""
        if not events:
            return 0
        known = await self._series.find({event.series for event in events})
        values = record_values(events, known)
        ends = [event.end_time for event in events]
        first, last = min(ends), max(ends)
        await self._months.ensure(first, last)
        try:
            (row,) = await self._database.execute(RECORD, values)
        except psycopg.errors.CheckViolation:
            # Another process has dropped the month meanwhile.
            self._months.forget()
            await self._months.ensure(first, last)
            (row,) = await self._database.execute(RECORD, values)
        new, rows = (int.from_bytes(value or b"") for value in row)
        self._unfolded += rows
        if self._unfolded >= _MOST_UNFOLDED:
            self._is_untidy.set()
        return new

    async def sums(self, question: Question, groups: Sequence[Group] | None = None) -> Sequence[Sum]:
        """See `ports.UsageStore`."""
        kept = await self._kept()
        in_two = groups is None and is_of_leaders(question)
        async with (
            self._turns.turn(),
            reading(self._database, at_one_moment=in_two, sorting=not in_two) as cursor,
        ):
            return await Questions(cursor, kept).sums(question, groups)

    async def durations(
        self, question: Question, groups: Sequence[Group] | None = None
    ) -> Sequence[Durations]:
        """See `ports.UsageStore`."""
        kept = await self._kept()
        async with self._turns.turn(), reading(self._database) as cursor:
            return await Questions(cursor, kept).durations(question, groups)

    async def user_count(self, question: Question) -> int:
        """See `ports.UsageStore`."""
        kept = await self._kept()
        async with self._turns.turn(), reading(self._database, sorting=False) as cursor:
            return await Questions(cursor, kept).user_count(question)

    async def events(
        self, start: datetime, end: datetime, which: Filter, after: str, limit: int
    ) -> Sequence[RecordedEvent]:
        """See `ports.UsageStore`."""
        return await exports.events(self._database, start, end, which, after, limit)

    async def event_tallies(self, start: datetime, end: datetime, service: ServiceType) -> Tallies:
        """See `ports.UsageStore`."""
        async with reading(self._database) as cursor:
            return await tallies.event_tallies(cursor, start, end, service)

    async def figure_tallies(self, start: datetime, end: datetime, service: ServiceType) -> FigureTallies:
        """See `ports.UsageStore`."""
        kept = await self._kept()
        async with reading(self._database, at_one_moment=True) as cursor:
            return await tallies.figure_tallies(cursor, kept, start, end, service)

    async def rebuild(self, day: date) -> bool:
        """See `ports.UsageStore`."""
        return await self._folding.rebuild(day, self._events_from(_CLOCK_MARGIN))

    def repairing(self) -> AbstractAsyncContextManager[bool]:
        """See `ports.UsageStore`."""
        return self._database.alone(_REPAIR_LOCK)

    async def reject(self, items: Sequence[RejectedEvent]) -> None:
        """See `ports.UsageStore`."""
        await self._rejected.add(items)

    async def rejected(self, page: PageRequest) -> Page[RejectedEvent]:
        """See `ports.UsageStore`."""
        return await self._rejected.page(page)

    async def rejected_count(self) -> int:
        """See `ports.UsageStore`."""
        return await self._rejected.count()

    async def untidy(self) -> None:
        """See `ports.UsageStore`."""
        await self._is_untidy.wait()

    async def tidy(self) -> None:
        """See `ports.UsageStore`."""
        self._is_untidy.clear()
        now = datetime.now(UTC)
        await self._months.ensure_ahead(now)
        await self._fold()
        await self._months.drop_before(self._events_from(timedelta(0)))
        self._dropped = await self._months.kept_from()
        self._knows_dropped = True
        await self._folding.forget_before(now - self._figure_retention)
        await self._rejected.forget_old()
        await self._series.forget_people_before(now - self._event_retention - _FORGET_PEOPLE_LATER)
        await self._sweep.go_on()

    async def _fold(self) -> None:
        if await self._folding.fold():
            self._unfolded = 0

    async def _kept(self) -> Coverage:
        if not self._knows_dropped:
            self._dropped = await self._months.kept_from()
            self._knows_dropped = True
        events_from = self._events_from(_CLOCK_MARGIN)
        if self._dropped is not None:
            events_from = max(events_from, self._dropped)
        return Coverage(events_from, minutes_from() + _CLOCK_MARGIN)

    def _events_from(self, margin: timedelta) -> datetime:
        """From when on the months of events are kept; `margin`: even by a clock that is ahead by so much."""
        return month_of(datetime.now(UTC) - self._event_retention + margin)
