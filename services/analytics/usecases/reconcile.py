"""Reconcile: the services' books, the events and the figures, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog

from services.analytics.errors import ReconcileRunning, ServiceUnknown
from services.analytics.model.balances import (
    NOTHING,
    Account,
    Books,
    Tallies,
    Tally,
    added,
    by_model,
    minus,
    plus,
    summed,
)
from services.analytics.ports import Clock, ServiceBooks, UsageStore
from services.analytics.usecases.spans import told, whole_millis
from services.capabilities.metering.model import ServiceType
from services.kernel.errors import InvalidArgument

log = structlog.get_logger(__name__)

_LONGEST = timedelta(days=32)
_DAY = timedelta(days=1)
_LEAST_ASKED = timedelta(seconds=1)
_LOOKS = 4
_SETTLING = timedelta(minutes=5)
_LOOK_AGAIN_SECONDS = 1.0
_DELIVERY_SECONDS = 60.0
# Events must not grow too old on their way.
_DELIVERY_MARGIN = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Difference:
    """An account of which the three say different things."""

    account: Account
    service: Tally
    events: Tally
    figures: Tally


@dataclass(frozen=True, slots=True)
class Balance:
    """One service's books beside the events and the figures. Tallies are of all accounts."""

    service: ServiceType
    books: Tally
    events: Tally
    figures: Tally
    pending: int
    differences: tuple[Difference, ...]
    redelivered: int = 0
    rebuilt_days: int = 0
    note: str = ""


def together(service: ServiceType, balances: Sequence[Balance]) -> Balance:
    """The balance of several spans."""
    differing: dict[Account, Difference] = {}
    for one in (one for balance in balances for one in balance.differences):
        known = differing.get(one.account, Difference(one.account, NOTHING, NOTHING, NOTHING))
        differing[one.account] = Difference(
            one.account,
            plus(known.service, one.service),
            plus(known.events, one.events),
            plus(known.figures, one.figures),
        )
    return Balance(
        service,
        added(balance.books for balance in balances),
        added(balance.events for balance in balances),
        added(balance.figures for balance in balances),
        sum(balance.pending for balance in balances),
        tuple(differing[account] for account in sorted(differing)),
    )


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Compares, and mends what differs. Events older than `retention` would not be taken again."""

    books: Mapping[ServiceType, ServiceBooks]
    store: UsageStore
    clock: Clock
    retention: timedelta

    async def __call__(
        self,
        start: datetime | None,
        end: datetime | None,
        services: Sequence[ServiceType],
        *,
        repair: bool,
    ) -> tuple[datetime, datetime, list[Balance]]:
        """What was compared, and each service's balance, after the repair if there is one. Raises InvalidArgument, ServiceUnknown, ReconcileRunning,
        Unavailable."""
        now = whole_millis(self.clock())
        # What has not ended yet is in nobody's books.
        finish = min(told(end, "end_time") or now, now)
        begin = told(start, "start_time") or finish - _DAY
        if begin >= finish:
            raise InvalidArgument.field("end_time", "must be after start_time, and start_time in the past")
        if finish - begin > _LONGEST:
            raise InvalidArgument.field(
                "start_time", f"must be at most {_LONGEST.days} days before the end; compare in parts"
            )
        for service in services:
            if service not in self.books:
                raise ServiceUnknown(service.name.lower())
        wanted = list(services) or list(self.books)
        if not repair:
            return begin, finish, [await self._compare(service, begin, finish) for service in wanted]
        async with self.store.repairing() as alone:
            if not alone:
                raise ReconcileRunning
            return begin, finish, [await self._mend(service, begin, finish) for service in wanted]

    async def _compare(self, service: ServiceType, start: datetime, end: datetime) -> Balance:
        """Compare a day at a time, however long the span is."""
        return together(service, [await self._settled(service, *day) for day in _days(start, end)])

    async def _settled(self, service: ServiceType, start: datetime, end: datetime) -> Balance:
        """Look until nothing differs, a few times where the end is near: a call that ended a moment ago is committed, delivered and counted one
        after the other."""
        balance = await self._look(service, start, end)
        for _ in range(_LOOKS - 1):
            is_old = self.clock() - end > _SETTLING and not balance.pending
            if is_old or not (balance.differences or balance.pending):
                break
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            balance = await self._look(service, start, end)
        return balance

    async def _look(self, service: ServiceType, start: datetime, end: datetime) -> Balance:
        books = await self._summarized(service, start, end)
        events = await self.store.event_tallies(start, end, service)
        # Of whole days, so that the figures of days are held to it, too.
        kept = await self.store.figure_tallies(_floor(start), _ceiling(end), service)
        figures = _shifted(events, kept.events, kept.people)
        differences = _differences(books.tallies, events, figures)
        # What is on its way is lost by nobody: it is a difference only for accounts that have more events than the books say.
        if books.pending and _only_missing(differences, books.pending):
            differences = []
        if not differences:
            nobodys = by_model(events)
            system = _shifted(nobodys, by_model(kept.events), kept.system)
            differences = [
                one
                for one in _differences(by_model(books.tallies), nobodys, system)
                if one.events != one.figures
            ]
        return Balance(
            service,
            summed(books.tallies),
            summed(events),
            summed(figures),
            books.pending,
            tuple(differences),
        )

    async def _summarized(self, service: ServiceType, start: datetime, end: datetime) -> Books:
        """The service's books, a day at a time, or less where a day is more than it tells at once."""
        tallies: dict[Account, Tally] = {}
        pending = 0
        spans = _days(start, end)[::-1]
        while spans:
            begin, finish = spans.pop()
            try:
                part = await self.books[service].summarize(begin, finish)
            except InvalidArgument:
                half = whole_millis(begin + (finish - begin) / 2)
                if finish - begin <= _LEAST_ASKED:
                    raise
                spans += [(half, finish), (begin, half)]
                continue
            pending += part.pending
            for account, tally in part.tallies.items():
                tallies[account] = plus(tallies.get(account, NOTHING), tally)
        return Books(tallies, pending)

    # -- mending

    async def _mend(self, service: ServiceType, start: datetime, end: datetime) -> Balance:
        balance = await self._compare(service, start, end)
        if not balance.differences:
            return balance
        redelivered = 0
        too_old = False
        if any(_is_missing(one) for one in balance.differences):
            oldest = whole_millis(self.clock() - self.retention + _DELIVERY_MARGIN)
            too_old = start < oldest
            if end > oldest:
                log.warning("usage events are asked for again", service=service.name.lower())
                redelivered = await self._redelivered(service, max(start, oldest), end)
        rebuilt, notes = await self._rebuilt(service, start, end)
        balance = await self._compare(service, start, end)
        if too_old and any(_is_missing(one) for one in balance.differences):
            notes.append("events of calls that are older than events are kept can't be delivered again")
        if any(one.events.events > one.service.events for one in balance.differences):
            notes.append(
                "there are events of calls that the service does not tell any more, as of answers that it has forgotten; they stay"
            )
        return replace(balance, redelivered=redelivered, rebuilt_days=rebuilt, note="; ".join(notes))

    async def _redelivered(self, service: ServiceType, start: datetime, end: datetime) -> int:
        count = 0
        for begin, finish in _days(start, end):
            count += await self.books[service].redeliver(begin, finish)
        loop = asyncio.get_running_loop()
        until = loop.time() + _DELIVERY_SECONDS
        pending = count
        while pending and loop.time() < until:
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            pending = (await self._summarized(service, start, end)).pending
        return count

    async def _rebuilt(self, service: ServiceType, start: datetime, end: datetime) -> tuple[int, list[str]]:
        """Make the figures of each day anew that are not those of its events. Returns of how many, and what could not be done."""
        rebuilt, kept_no_more = 0, 0
        for begin, finish in _days(_floor(start), _ceiling(end)):
            kept = await self.store.figure_tallies(begin, finish, service)
            if kept.people == kept.events and kept.system == by_model(kept.events):
                continue
            log.warning("the figures of a day are made anew", day=begin.date().isoformat())
            if await self.store.rebuild(begin.date()):
                rebuilt += 1
            else:
                kept_no_more += 1
        if not kept_no_more:
            return rebuilt, []
        return rebuilt, [
            f"the events of {kept_no_more} days are not kept any more, so their figures stay as they are"
        ]


def _differences(books: Tallies, events: Tallies, figures: Tallies) -> list[Difference]:
    found = []
    for account in sorted(books.keys() | events.keys() | figures.keys()):
        three = [tallies.get(account, NOTHING) for tallies in (books, events, figures)]
        if len(set(three)) > 1:
            found.append(Difference(account, *three))
    return found


def _shifted(exact: Tallies, events: Tallies, figures: Tallies) -> dict[Account, Tally]:
    """What the figures would say of the exact span: they are compared by whole days, in which they differ from the events by so much."""
    return {
        account: plus(
            minus(exact.get(account, NOTHING), events.get(account, NOTHING)),
            figures.get(account, NOTHING),
        )
        for account in exact.keys() | events.keys() | figures.keys()
        if account in exact or events.get(account, NOTHING) != figures.get(account, NOTHING)
    }


def _is_missing(one: Difference) -> bool:
    return one.service.events > one.events.events


def _only_missing(found: Sequence[Difference], pending: int) -> bool:
    """Whether nothing differs but that so many events, which are still on their way, are missing."""
    missing = sum(one.service.events - one.events.events for one in found)
    return missing <= pending and all(_is_missing(one) and one.events == one.figures for one in found)


def _floor(moment: datetime) -> datetime:
    return moment - (moment - datetime.min.replace(tzinfo=UTC)) % _DAY


def _ceiling(moment: datetime) -> datetime:
    return -((datetime.min.replace(tzinfo=UTC) - moment) // _DAY) * _DAY + datetime.min.replace(tzinfo=UTC)


def _days(start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """The span cut at the beginnings of days in UTC."""
    found = []
    while start < end:
        following = min((start + _DAY).replace(hour=0, minute=0, second=0, microsecond=0), end)
        found.append((start, following))
        start = following
    return found
