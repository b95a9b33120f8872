"""ExportEvents: single events, oldest first, each with its cost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.analytics.model.events import RecordedEvent
from services.analytics.model.figures import Dimension, Filter
from services.analytics.model.prices import BEGINNING, PriceBook, rounded
from services.analytics.ports import Clock, PriceStore, UsageStore
from services.analytics.usecases.reports import SCOPE
from services.analytics.usecases.spans import whole_millis
from services.kernel.errors import InvalidArgument
from services.kernel.ownership import require_administrator, whose
from services.kernel.principal import Principal

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class PricedEvent:
    """An event, and its cost in nano-USD; None when something of it has no price."""

    event: RecordedEvent
    cost: int | None


@dataclass(frozen=True, slots=True)
class ExportEvents:
    """Reads events page by page; nothing is held in the store between two pages."""

    store: UsageStore
    prices: PriceStore
    clock: Clock
    retention: timedelta

    async def __call__(
        self,
        caller: Principal,
        user_id: str,
        all_users: bool,
        start: datetime | None,
        end: datetime | None,
        which: Filter,
    ) -> AsyncIterator[list[PricedEvent]]:
        """Pages of events. Raises InvalidArgument, PermissionDenied, Unavailable."""
        if all_users and user_id:
            raise InvalidArgument.field("user_id", "must be empty with all_users")
        if all_users:
            require_administrator(caller, SCOPE)
        else:
            owner = whose(caller, user_id, SCOPE)
            if Dimension.USER in which.values:
                raise InvalidArgument.field("filter.user_ids", "is for all_users; give user_id")
            which = replace(which, values={**which.values, Dimension.USER: (owner,)})
        now = self.clock()
        # A month more than is kept for sure, since whole months are forgotten.
        begin = whole_millis(start or now - self.retention - timedelta(days=32))
        finish = whole_millis(end or now)
        if begin >= finish:
            raise InvalidArgument.field("end_time", "must be after start_time")
        book = PriceBook(await self.prices.all())
        after = ""
        while True:
            page = await self.store.events(begin, finish, which, after, _AT_ONCE)
            if page:
                yield [PricedEvent(event, _cost(book, event)) for event in page]
                after = page[-1].event_id
            if len(page) < _AT_ONCE:
                return


def _cost(book: PriceBook, event: RecordedEvent) -> int | None:
    series = event.series
    moment = BEGINNING + timedelta(microseconds=event.end_time)
    cost = book.cost(series.model, series.variant, event.quantities, series.units, moment)
    return None if cost is None else rounded(cost)
