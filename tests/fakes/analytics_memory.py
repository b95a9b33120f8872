"""Analytics' stores in memory, for tests of what is built on the ports; the contract suite holds them to the ports' promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from antiphon.usage.v1 import usage_pb2

from services.analytics.model.balances import FigureTallies, Tallies
from services.analytics.model.events import RecordedEvent, RejectedEvent
from services.analytics.model.figures import Durations, Filter, Group, Question, Sum
from services.analytics.model.prices import Price
from services.capabilities.metering.forgetting import without_person
from services.capabilities.metering.model import ServiceType
from services.kernel.errors import Unavailable
from services.kernel.paging import Page, PageRequest
from tests.fakes import analytics_sums
from tests.fakes.analytics_events import EPOCH, QUARTER, midnight, moment_of

_MOST_KEPT = 10_000

_Item = TypeVar("_Item")


@dataclass
class MemoryUsageStore:
    """`away` makes every call fail, as a database does that can't be reached. `kept` has the events; `counted` those that figures are made of:
    as long as nobody spoils them, the same and those that are not kept any more."""

    event_retention: timedelta = timedelta(days=90)
    figure_retention: timedelta = timedelta(days=1096)
    away: bool = False
    kept: dict[str, RecordedEvent] = field(default_factory=dict)
    counted: dict[str, RecordedEvent] = field(default_factory=dict)
    records: int = 0
    rebuilt: list[date] = field(default_factory=list)
    _forgotten: set[str] = field(default_factory=set)
    _rejected: dict[tuple[str, bytes], RejectedEvent] = field(default_factory=dict)
    _is_repairing: bool = False

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("the store is away")

    def _horizon(self) -> datetime:
        return midnight(datetime.now(UTC) - self.event_retention)

    async def record(self, events: Sequence[RecordedEvent]) -> int:
        self._reach()
        self.records += 1
        before = len(self.kept)
        for event in events:
            if event.event_id not in self.kept:
                self.kept[event.event_id] = self.counted[event.event_id] = self._without_the_gone(event)
        return len(self.kept) - before

    async def sums(self, question: Question, groups: Sequence[Group] | None = None) -> Sequence[Sum]:
        self._reach()
        return analytics_sums.sums_of(self.counted.values(), self._moved(question), groups)

    async def durations(
        self, question: Question, groups: Sequence[Group] | None = None
    ) -> Sequence[Durations]:
        self._reach()
        return analytics_sums.durations_of(self.counted.values(), self._moved(question), groups)

    async def user_count(self, question: Question) -> int:
        self._reach()
        return len(analytics_sums.people_of(self.counted.values(), self._moved(question)))

    async def events(
        self, start: datetime, end: datetime, which: Filter, after: str, limit: int
    ) -> Sequence[RecordedEvent]:
        self._reach()
        found = [
            event
            for event_id, event in sorted(self.kept.items())
            if event_id > after
            and analytics_sums.is_in(event, start, end)
            and analytics_sums.matches(event, which)
        ]
        return found[:limit]

    async def event_tallies(self, start: datetime, end: datetime, service: ServiceType) -> Tallies:
        return self._tallies(self.kept.values(), start, end, service)

    async def figure_tallies(self, start: datetime, end: datetime, service: ServiceType) -> FigureTallies:
        figures = self.counted.values()
        return FigureTallies(
            self._tallies(self.kept.values(), start, end, service),
            self._tallies(figures, start, end, service),
            self._tallies([_nobodys(event) for event in figures], start, end, service),
        )

    async def rebuild(self, day: date) -> bool:
        self._reach()
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        if start < self._horizon():
            return False
        self.rebuilt.append(day)
        end = start + timedelta(days=1)
        self.counted = {
            id_: event for id_, event in self.counted.items() if not analytics_sums.is_in(event, start, end)
        } | {id_: event for id_, event in self.kept.items() if analytics_sums.is_in(event, start, end)}
        return True

    @asynccontextmanager
    async def repairing(self) -> AsyncIterator[bool]:
        self._reach()
        if self._is_repairing:
            yield False
            return
        self._is_repairing = True
        try:
            yield True
        finally:
            self._is_repairing = False

    async def reject(self, items: Sequence[RejectedEvent]) -> None:
        self._reach()
        for item in items:
            if usage_pb2.UsageEvent.FromString(item.payload).user_id in self._forgotten:
                item = replace(item, payload=without_person(item.payload))
            known = self._rejected.get((item.source, item.payload))
            kept = item if known is None else replace(known, receive_count=known.receive_count + 1)
            self._rejected[item.source, item.payload] = kept

    async def rejected(self, page: PageRequest) -> Page[RejectedEvent]:
        self._reach()
        found = sorted(self._rejected.values(), key=lambda item: item.rejected_event_id, reverse=True)
        return _page({item.rejected_event_id: item for item in found}, page)

    async def rejected_count(self) -> int:
        self._reach()
        return len(self._rejected)

    async def untidy(self) -> None:
        await asyncio.Event().wait()

    async def tidy(self) -> None:
        self._reach()
        horizon, end = self._horizon(), datetime.now(UTC) - self.figure_retention
        self.kept = {id_: one for id_, one in self.kept.items() if moment_of(one.end_time) >= horizon}
        self.counted = {id_: one for id_, one in self.counted.items() if moment_of(one.end_time) >= end}
        newest = sorted(self._rejected.items(), key=lambda item: item[1].rejected_event_id)[-_MOST_KEPT:]
        self._rejected = dict(newest)

    def forget(self, user_id: str) -> None:
        """Take a person out of everything, what is still to come, too."""
        self._reach()
        self._forgotten.add(user_id)
        self.kept = {id_: self._without_the_gone(event) for id_, event in self.kept.items()}
        self.counted = {id_: self._without_the_gone(event) for id_, event in self.counted.items()}
        for (source, payload), item in list(self._rejected.items()):
            if usage_pb2.UsageEvent.FromString(payload).user_id == user_id:
                del self._rejected[source, payload]
                stripped = without_person(payload)
                self._rejected[source, stripped] = replace(item, payload=stripped)

    def damage(self) -> None:
        """Have every other figure say what no event says."""
        for id_, event in list(self.counted.items())[::2]:
            self.counted[id_] = event._replace(quantities=tuple(one + 1 for one in event.quantities))

    def _without_the_gone(self, event: RecordedEvent) -> RecordedEvent:
        return _nobodys(event) if event.series.user_id in self._forgotten else event

    def _moved(self, question: Question) -> Question:
        """The same with pieces as they are told: before the horizon they begin and end at quarters."""
        pieces = [
            piece._replace(start=self._told(piece.start), end=self._told(piece.end))
            for piece in question.pieces
        ]
        return replace(question, pieces=pieces)

    def _told(self, moment: datetime) -> datetime:
        return moment if moment >= self._horizon() else EPOCH + (moment - EPOCH) // QUARTER * QUARTER

    def _tallies(
        self, events: Iterable[RecordedEvent], start: datetime, end: datetime, service: ServiceType
    ) -> Tallies:
        self._reach()
        return analytics_sums.tallies_of(
            event
            for event in events
            if event.series.service_type == service.value and analytics_sums.is_in(event, start, end)
        )


@dataclass
class MemoryPriceStore:
    """Prices; `away` makes every call fail."""

    away: bool = False
    kept: list[Price] = field(default_factory=list)

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("the store is away")

    async def all(self) -> Sequence[Price]:
        self._reach()
        return tuple(self.kept)

    async def put(self, price: Price) -> Price:
        self._reach()
        for number, old in enumerate(self.kept):
            if _place(old) == _place(price):
                kept = replace(price, price_id=old.price_id, create_time=old.create_time)
                self.kept[number] = kept
                return kept
        self.kept.append(price)
        return price

    async def add(self, price: Price) -> bool:
        self._reach()
        if any(_place(old) == _place(price) for old in self.kept):
            return False
        self.kept.append(price)
        return True

    async def page(self, model: str, at: datetime | None, page: PageRequest) -> Page[Price]:
        self._reach()
        found = [price for price in self.kept if model in ("", price.model)]
        if at is not None:
            passed = sorted(
                (one for one in found if one.effective_time <= at), key=lambda one: one.effective_time
            )
            found = [
                one for one in {_place(one)[:3]: one for one in passed}.values() if one.nano_usd is not None
            ]
        found.sort(key=lambda one: one.price_id, reverse=True)
        return _page({one.price_id: one for one in found}, page)


@dataclass
class MemoryDeletions:
    """Deletes people from a MemoryUsageStore."""

    usage: MemoryUsageStore
    at: int = 0

    async def position(self) -> int:
        return self.at

    async def advance(self, position: int) -> None:
        self.at = max(self.at, position)

    async def restart(self) -> None:
        self.at = 0

    async def remove(self, user_id: str) -> bool:
        if user_id:
            self.usage.forget(user_id)
        return True


def _page(found: dict[str, _Item], page: PageRequest) -> Page[_Item]:
    """A page of what was found, which is newest first by its keys."""
    keys = [key for key in found if page.after is None or key < page.after][page.skip :]
    shown = keys[: page.size]
    return Page(
        [found[key] for key in shown], shown[-1] if len(keys) > len(shown) else None, total_size=len(found)
    )


def _place(price: Price) -> tuple[object, ...]:
    return price.model, price.unit, price.variant, price.effective_time


def _nobodys(event: RecordedEvent) -> RecordedEvent:
    return event._replace(
        series=event.series._replace(user_id="", api_key_id=""), session_id="", request_id=""
    )
