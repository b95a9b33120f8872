"""What Analytics needs from others, as promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime
from typing import NamedTuple, Protocol

from services.analytics.model.balances import Books, FigureTallies, Tallies
from services.analytics.model.events import RecordedEvent, RejectedEvent
from services.analytics.model.figures import Durations, Filter, Group, Question, Sum
from services.analytics.model.prices import Price
from services.capabilities.metering.model import ServiceType, Unit
from services.kernel.paging import Page, PageRequest


class UsageStore(Protocol):
    """Keeps events, and the figures that they add up to.

    Figures are exact: they are those of the events that were recorded, of each once, however often and by however many processes at once it
    was sent. All methods raise Unavailable when the store can't be reached; a write may then have happened or not, and repeating it is
    safe.
    """

    async def record(self, events: Sequence[RecordedEvent]) -> int:
        """Store the events that are not known yet and add them to the figures, all or nothing. Returns how many were new. Events of people who
        were deleted are stored without the person. At most 10,000 at a time; the same event may stand in it twice."""
        ...

    async def sums(self, question: Question, groups: Sequence[Group] | None = None) -> Sequence[Sum]:
        """The sums of the calls that the question asks for, by piece, group and what decides on the price, in no order; nothing for
        combinations without calls. With `groups` only theirs, and `question.limit` is not looked at.

        Pieces are exact to the millisecond as long as the events are kept, and before that to the quarter of an hour: a piece's start and end
        are then moved back to the last one.
        """
        ...

    async def durations(
        self, question: Question, groups: Sequence[Group] | None = None
    ) -> Sequence[Durations]:
        """How long the calls took, by step and group, in no order; with `groups` only theirs. `question.limit` is not looked at."""
        ...

    async def user_count(self, question: Question) -> int:
        """How many people made the calls that the question asks for; its groups are not looked at."""
        ...

    async def events(
        self, start: datetime, end: datetime, which: Filter, after: str, limit: int
    ) -> Sequence[RecordedEvent]:
        """Events of [start, end) with ids greater than `after` (empty: all), in the order of their ids, at most `limit`; less than that only at the
        end."""
        ...

    async def event_tallies(self, start: datetime, end: datetime, service: ServiceType) -> Tallies:
        """What the events of [start, end), exact to the millisecond, add up to, without refused calls."""
        ...

    async def figure_tallies(self, start: datetime, end: datetime, service: ServiceType) -> FigureTallies:
        """What the events, and the figures of each kind, say of [start, end), which are at full quarters of an hour, without refused calls: all
        as of one moment, so that a difference is one, also while events arrive."""
        ...

    async def rebuild(self, day: date) -> bool:
        """Make the figures of a day (UTC) anew from its events, in one step; what is recorded meanwhile is in them. False when its events are
        not all kept any more, and nothing was done."""
        ...

    def repairing(self) -> AbstractAsyncContextManager[bool]:
        """Inside the block nobody else is, if what it yields is True."""
        ...

    async def reject(self, items: Sequence[RejectedEvent]) -> None:
        """Keep bad items. One that is kept already (same source and payload) counts once more instead."""
        ...

    async def rejected(self, page: PageRequest) -> Page[RejectedEvent]:
        """Bad items that are kept, newest first by id."""
        ...

    async def rejected_count(self) -> int:
        """How many bad items are kept."""
        ...

    async def untidy(self) -> None:
        """Wait until so much has come in that `tidy` had better be called soon."""
        ...

    async def tidy(self) -> None:
        """Make ready for events to come, fold figures that came in parts, and forget what is older than the settings say. Safe to run in several
        processes at once, and to break off at any point."""
        ...


class PriceStore(Protocol):
    """Keeps prices. All methods raise Unavailable."""

    async def all(self) -> Sequence[Price]:
        """Every price there is or was, in no order."""
        ...

    async def put(self, price: Price) -> Price:
        """Keep a price; one of the same model, unit, variant and effective_time is replaced. Returns it as kept: a replaced one keeps its id and
        create_time."""
        ...

    async def add(self, price: Price) -> bool:
        """Keep a price, unless there is one of the same model, unit, variant and effective_time. Returns whether it was kept."""
        ...

    async def page(self, model: str, at: datetime | None, page: PageRequest) -> Page[Price]:
        """Prices, newest first by id; of a model if one is named, and with `at` only those in force at that moment (a price of None is none)."""
        ...


class CatalogPrice(NamedTuple):
    """What a service's catalog says that something costs, in the terms of Price."""

    model: str
    unit: Unit
    variant: str
    nano_usd: int


class ServiceBooks(Protocol):
    """A service's own account of what it did. All methods raise Unavailable and DeadlineExceeded."""

    async def summarize(self, start: datetime, end: datetime) -> Books:
        """What it did in [start, end), at most 32 days, by the time in the events' ids. Raises InvalidArgument when the span holds more than it
        can tell at once: ask in parts."""
        ...

    async def redeliver(self, start: datetime, end: datetime) -> int:
        """Have it deliver the events of the span once more, which takes a while. Returns how many."""
        ...

    async def prices(self) -> Sequence[CatalogPrice]:
        """What its catalog says that its models cost."""
        ...


Clock = Callable[[], datetime]
"""Tells the time, in UTC."""
