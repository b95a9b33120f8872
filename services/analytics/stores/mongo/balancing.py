"""What events and figures add up to, so that they can be compared."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from services.analytics.model.balances import Account, FigureTallies, Tallies, Tally
from services.analytics.model.events import UNITS
from services.analytics.model.figures import Dimension, Filter
from services.analytics.stores.covering import Grain
from services.analytics.stores.mongo.batches import DUE, Document, end_of, parts_of, quantities_of
from services.analytics.stores.mongo.contributions import additions_of
from services.analytics.stores.mongo.days import Days
from services.analytics.stores.mongo.folding import Folding
from services.analytics.stores.mongo.layout import DAY_MINUTES, MINUTE, PEOPLE_TABLES, SYSTEM_TABLES
from services.analytics.stores.mongo.people import People
from services.analytics.stores.mongo.scanning import Run, Scanning, minutes_of, to_micros
from services.capabilities.metering.model import ServiceType
from services.infra.mongo.client import Mongo
from services.kernel.errors import Unavailable

_ATTEMPTS = 10
_BATCHES_AT_ONCE = 50
_DAY = DAY_MINUTES * MINUTE
_TABLES = (*PEOPLE_TABLES.values(), *SYSTEM_TABLES.values())


class _Counts:
    """Tallies while they are made."""

    def __init__(self) -> None:
        self._events: defaultdict[Account, int] = defaultdict(int)
        self._quantities: defaultdict[Account, list[int]] = defaultdict(lambda: [0] * len(UNITS))

    def add(self, account: Account, events: int, quantities: Sequence[int]) -> None:
        self._events[account] += events
        known = self._quantities[account]
        for place, amount in enumerate(quantities):
            known[place] += amount

    def tallies(self, gone: Collection[str] = ()) -> dict[Account, Tally]:
        """What there is, with the calls of those who are gone as nobody's."""
        whole = _Counts()
        for account, events in self._events.items():
            user_id = "" if account.user_id in gone else account.user_id
            whole.add(account._replace(user_id=user_id), events, self._quantities[account])
        return {
            account: Tally(events, tuple(whole._quantities[account]))
            for account, events in whole._events.items()
            if events or any(whole._quantities[account])
        }

    @property
    def people(self) -> set[str]:
        """Whose calls are in it."""
        return {account.user_id for account in self._events}


class _Span(NamedTuple):
    """A part of a day [start, end), in microseconds since 1970, and the service that it is about."""

    start: int
    end: int
    service: int

    @property
    def day(self) -> int:
        """The day since 1970."""
        return self.start // _DAY

    @property
    def tables(self) -> list[str]:
        """The tables whose intervals make it up."""
        is_whole = self.end - self.start == _DAY
        return [table for table in _TABLES if is_whole or not table.endswith("_days")]


class Balancing:
    """Adds up. What is told of figures is as of the moment at which the events of that day were read: batches that came later are taken off again,
    which the figures name."""

    def __init__(self, mongo: Mongo, days: Days, people: People, folding: Folding) -> None:
        self._batches = mongo["analytics_batches"]
        self._figures = mongo["analytics_figures"]
        self._days = days
        self._people = people
        self._folding = folding
        self._scanning = Scanning(mongo)

    async def events(self, start: datetime, end: datetime, service: ServiceType) -> Tallies:
        """See `ports.UsageStore.event_tallies`."""
        counts = _Counts()
        if start < end:
            which = Filter({Dimension.SERVICE_TYPE: (service.value,)}, refused=False)
            async for call in self._scanning.calls([Run(to_micros(start), to_micros(end))], which):
                series = call.series
                counts.add(Account(series.user_id, series.model, series.status), 1, call.quantities)
        return counts.tallies()

    async def figures(
        self, start: datetime, end: datetime, service: ServiceType, minutes_from: datetime
    ) -> FigureTallies:
        """See `ports.UsageStore.figure_tallies`; figures of minutes are kept from `minutes_from` on."""
        events, people, system = _Counts(), _Counts(), _Counts()
        first, last = to_micros(start), to_micros(end)
        for day in range(first // _DAY, -(-last // _DAY)):
            span = _Span(max(first, day * _DAY), min(last, (day + 1) * _DAY), service.value)
            found = await self._day(span, has_minutes=span.start >= to_micros(minutes_from))
            for counts, tallies in zip((events, people, system), found, strict=True):
                for account, tally in tallies.items():
                    counts.add(account, *tally)
        return FigureTallies(events.tallies(), people.tallies(), system.tallies())

    async def _day(self, span: _Span, *, has_minutes: bool) -> FigureTallies:
        for _ in range(_ATTEMPTS):
            events, known = await self._read(span)
            versions = await self._days.counting(span.day, span.day)
            tables = await self._added(span, known, versions.get(span.day, 0))
            if await self._days.counting(span.day, span.day) != versions:
                # The figures were made anew meanwhile.
                continue
            # Some of their documents may be nobody's already.
            gone = await self._people.gone(
                events.people.union(*(counts.people for counts in tables.values()))
            )
            told = events.tallies(gone)
            nobodys = _Counts()
            for account, tally in told.items():
                nobodys.add(account._replace(user_id=""), *tally)
            people = [tables[table].tallies(gone) for table in PEOPLE_TABLES.values() if table in tables]
            system = [
                tables[table].tallies()
                for grain, table in SYSTEM_TABLES.items()
                if table in tables and (has_minutes or grain is not Grain.MINUTE)
            ]
            return FigureTallies(told, _one_of(people, told), _one_of(system, nobodys.tallies()))
        raise Unavailable("The figures are being made anew; try again.", retry_after=5.0)

    async def _read(self, span: _Span) -> tuple[_Counts, set[str]]:
        """What the events add up to, and in which batches they are; all of those are in the figures now."""
        counts, known, due = _Counts(), set(), []
        async for batch in self._batches.find(minutes_of(span.start, span.end)):
            known.add(batch["_id"])
            if batch.get("fold") == DUE:
                due.append(batch["_id"])
            for part, ids in parts_of(batch):
                if part["service_type"] == span.service and not part["refused"]:
                    account = Account(part["user_id"], part["model"], part["status"])
                    for event_id, quantities in zip(ids, quantities_of(part), strict=True):
                        if span.start <= end_of(event_id) < span.end:
                            counts.add(account, 1, quantities)
            await asyncio.sleep(0)
        if due:
            await self._folding.fold_due({"_id": {"$in": due}})
        return counts, known

    async def _added(self, span: _Span, known: Collection[str], version: int) -> Mapping[str, _Counts]:
        """What the figures of each table add up to without batches that are not known."""
        tables = {table: _Counts() for table in span.tables}
        accounts: dict[str, tuple[str, Account]] = {}
        later: defaultdict[str, set[str]] = defaultdict(set)
        which = {
            "table": {"$in": span.tables},
            "at": {"$gte": span.start // MINUTE, "$lt": span.end // MINUTE},
            "version": version,
            "service_type": span.service,
            "refused": False,
        }
        async for figure in self._figures.find(which, {"latency": 0, "first_token": 0}):
            account = Account(figure["user_id"], figure["model"], figure["status"])
            accounts[figure["_id"]] = figure["table"], account
            tables[figure["table"]].add(account, figure["events"], _quantities(figure))
            for name in figure["batches"]:
                if name not in known:
                    later[name].add(figure["_id"])
        ids = sorted(later)
        for first in range(0, len(ids), _BATCHES_AT_ONCE):
            some = {"_id": {"$in": ids[first : first + _BATCHES_AT_ONCE]}}
            async for batch in self._batches.find(some):
                for place, addition in (await additions_of(batch)).items():
                    id_ = place.id(version)
                    if id_ in later[batch["_id"]]:
                        table, account = accounts[id_]
                        less = [-amount for amount in addition.quantities]
                        tables[table].add(account, -addition.events, less)
        return tables


def _one_of(tables: Sequence[dict[Account, Tally]], wanted: Mapping[Account, Tally]) -> Tallies:
    """The tallies of a table that says something else, if one does: questions are answered from all of them."""
    return next((tallies for tallies in tables if tallies != wanted), tables[0])


def _quantities(figure: Document) -> list[int]:
    used = figure.get("quantities", {})
    return [used.get(str(place), 0) for place in range(len(UNITS))]
