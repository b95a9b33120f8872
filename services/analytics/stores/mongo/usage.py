"""Events and figures in MongoDB."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime, timedelta

from services.analytics.model.balances import FigureTallies, Tallies
from services.analytics.model.events import RecordedEvent, RejectedEvent
from services.analytics.model.figures import Durations, Filter, Group, Question, Sum
from services.analytics.stores.covering import Coverage, Grain
from services.analytics.stores.mongo.answering import Answering
from services.analytics.stores.mongo.balancing import Balancing
from services.analytics.stores.mongo.clock import server_time
from services.analytics.stores.mongo.days import Days
from services.analytics.stores.mongo.exporting import Exporting
from services.analytics.stores.mongo.folding import Folding
from services.analytics.stores.mongo.people import People
from services.analytics.stores.mongo.rebuilding import Rebuilding
from services.analytics.stores.mongo.recording import Recording
from services.analytics.stores.mongo.rejecting import Rejecting
from services.analytics.stores.mongo.repairs import Repairs
from services.analytics.stores.mongo.retiring import Retiring
from services.capabilities.metering.model import ServiceType
from services.infra.mongo.client import Mongo
from services.infra.mongo.failures import translated
from services.kernel.paging import Page, PageRequest

_MINUTES_KEPT = timedelta(days=3)
_REJECTED_KEPT = timedelta(days=30)
_FORGET_PEOPLE_LATER = timedelta(days=7)
# Clocks of processes differ: what one still reads, no other one removes.
_CLOCKS_DIFFER = timedelta(hours=1)
_FIRST_DAY = date(1970, 1, 1)


class MongoUsageStore:
    """Keeps the promises of `UsageStore` by documents in MongoDB (see the package)."""

    def __init__(self, mongo: Mongo, *, event_retention: timedelta, figure_retention: timedelta) -> None:
        """Events are kept for as long, from the beginning of that day on, and figures."""
        self._mongo = mongo
        self._event_retention = event_retention
        self._figure_retention = figure_retention
        self._people = people = People(mongo)
        self._days = Days(mongo)
        self._folding = Folding(mongo, self._days, people)
        self._recording = Recording(mongo, people, self._folding)
        self._answering = Answering(mongo, self._days, self._kept)
        self._exporting = Exporting(mongo, self._kept)
        self._balancing = Balancing(mongo, self._days, people, self._folding)
        self._rebuilding = Rebuilding(mongo, self._days, people, self._folding)
        self._rejecting = Rejecting(mongo, people)
        self._repairs = Repairs(mongo)
        self._retiring = Retiring(mongo)

    def _kept(self) -> Coverage:
        now = datetime.now(UTC)
        events_from = Grain.DAY.before(now - self._event_retention)
        return Coverage(events_from, now - _MINUTES_KEPT + _CLOCKS_DIFFER)

    async def record(self, events: Sequence[RecordedEvent]) -> int:
        """See `ports.UsageStore`."""
        with translated():
            return await self._recording.record(events)

    async def sums(self, question: Question, groups: Sequence[Group] | None = None) -> Sequence[Sum]:
        """See `ports.UsageStore`."""
        with translated():
            return await self._answering.sums(question, groups)

    async def durations(
        self, question: Question, groups: Sequence[Group] | None = None
    ) -> Sequence[Durations]:
        """See `ports.UsageStore`."""
        with translated():
            return await self._answering.durations(question, groups)

    async def user_count(self, question: Question) -> int:
        """See `ports.UsageStore`."""
        with translated():
            return await self._answering.user_count(question)

    async def events(
        self, start: datetime, end: datetime, which: Filter, after: str, limit: int
    ) -> Sequence[RecordedEvent]:
        """See `ports.UsageStore`."""
        with translated():
            return await self._exporting.events(start, end, which, after, limit)

    async def event_tallies(self, start: datetime, end: datetime, service: ServiceType) -> Tallies:
        """See `ports.UsageStore`."""
        with translated():
            return await self._balancing.events(start, end, service)

    async def figure_tallies(self, start: datetime, end: datetime, service: ServiceType) -> FigureTallies:
        """See `ports.UsageStore`."""
        with translated():
            return await self._balancing.figures(start, end, service, self._kept().minutes_from)

    async def rebuild(self, day: date) -> bool:
        """See `ports.UsageStore`."""
        if datetime(day.year, day.month, day.day, tzinfo=UTC) < self._kept().events_from:
            return False
        with translated():
            await self._rebuilding.rebuild((day - _FIRST_DAY).days)
        return True

    def repairing(self) -> AbstractAsyncContextManager[bool]:
        """See `ports.UsageStore`."""
        return self._repairs.repairing()

    async def reject(self, items: Sequence[RejectedEvent]) -> None:
        """See `ports.UsageStore`."""
        if items:
            with translated():
                await self._rejecting.reject(items)

    async def rejected(self, page: PageRequest) -> Page[RejectedEvent]:
        """See `ports.UsageStore`."""
        with translated():
            return await self._rejecting.page(page)

    async def rejected_count(self) -> int:
        """See `ports.UsageStore`."""
        with translated():
            return await self._rejecting.count()

    async def untidy(self) -> None:
        """See `ports.UsageStore`. Each batch is folded as it comes."""
        await asyncio.Event().wait()

    async def tidy(self) -> None:
        """See `ports.UsageStore`."""
        with translated():
            now = await server_time(self._mongo)
            await self._folding.fold_due()
            await self._folding.settle(now)
            await self._days.tidy(now)
            kept, today = self._kept(), datetime.now(UTC)
            await self._retiring.forget_events(kept.events_from - timedelta(days=1))
            await self._retiring.forget_figures(today - self._figure_retention, today - _MINUTES_KEPT)
            await self._rejecting.forget(today - _REJECTED_KEPT)
            await self._people.forget_before(now - self._event_retention - _FORGET_PEOPLE_LATER)
