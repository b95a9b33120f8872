"""WatchUsage: figures that are sent again when they change."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from services.analytics.errors import TooManyWatchers
from services.analytics.model.figures import Dimension, Filter, Piece, Question
from services.analytics.model.prices import BEGINNING
from services.analytics.model.steps import Span, beginning_of_day
from services.analytics.model.totals import Figures
from services.analytics.ports import Clock, UsageStore
from services.analytics.usecases.reckoning import Reckoning
from services.analytics.usecases.reports import SCOPE
from services.analytics.usecases.spans import whole_millis, zone_of
from services.kernel.errors import InvalidArgument, ServiceError, Unavailable
from services.kernel.outages import Outage
from services.kernel.ownership import whose
from services.kernel.principal import Principal

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.5
# So much of the time may be spent looking.
_LOOKING_SHARE = 0.1
_ALIVE_SECONDS = 15.0
_QUARTER = timedelta(minutes=15)
_MOST_OF_ONE = 10
_LONGEST = timedelta(days=32)
_READERS = 4


@dataclass(frozen=True, slots=True)
class Reading:
    """Where the figures since `start` stood at `time`."""

    start: datetime
    time: datetime
    figures: Figures


@dataclass(eq=False, slots=True)
class _Watcher:
    user_id: str
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Watchers:
    """Who watches, and whose figures have changed: what this process records it tells at once; for what others record there is one question to the
    store for all watchers, twice a second or as often as it is answered quickly.

    What it looks at are calls of the last quarter of an hour; one that is told later by another process shows with the next sign of life.
    """

    def __init__(self, store: UsageStore, clock: Clock, most: int) -> None:
        self._store = store
        self._clock = clock
        self._most = most
        self._all: set[_Watcher] = set()
        self._since = BEGINNING
        self._counts: dict[str, int] = {}
        self._some = asyncio.Event()
        self.closed = False
        self._lost = Outage(
            lambda error: log.warning("whose usage changed can't be seen now", error=error),
            lambda: log.info("whose usage changed is seen again"),
            first=_LOOK_SECONDS,
        )

    @contextlib.contextmanager
    def watching(self, user_id: str) -> Iterator[_Watcher]:
        """While the block runs, `changed` is set whenever the person's figures may have changed. Raises TooManyWatchers."""
        theirs = sum(watcher.user_id == user_id for watcher in self._all)
        if len(self._all) >= self._most or theirs >= _MOST_OF_ONE:
            raise TooManyWatchers
        watcher = _Watcher(user_id)
        self._all.add(watcher)
        self._some.set()
        try:
            yield watcher
        finally:
            self._all.discard(watcher)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._some.wait()
            if not self._all:
                self._some.clear()
                self._counts.clear()
                continue
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                await self._look()
                self._lost.over()
                pause = max(_LOOK_SECONDS, (loop.time() - began) / _LOOKING_SHARE)
            except ServiceError as error:
                # Watchers still get their signs of life, and the next look may fare better.
                pause = self._lost.pause(error.message)
            except Exception as error:
                pause = self._lost.pause(repr(error))
                log.exception("whose usage changed can't be seen")
            await asyncio.sleep(pause)

    def may_have_changed(self, user_ids: Collection[str]) -> None:
        """Calls of these people were recorded by this process."""
        for watcher in self._all:
            if watcher.user_id in user_ids:
                watcher.changed.set()

    def close(self) -> None:
        """Have all watchers end."""
        self.closed = True
        for watcher in self._all:
            watcher.changed.set()

    async def _look(self) -> None:
        now = whole_millis(self._clock())
        # Calls that leave at one end must not make up for those that come at the other.
        since = now - (now - BEGINNING) % _QUARTER - _QUARTER
        before = self._counts if since == self._since else {}
        users = tuple({watcher.user_id for watcher in self._all})
        question = Question((Piece(since, now, 0),), (Dimension.USER,), Filter({Dimension.USER: users}))
        counts: dict[str, int] = {}
        for row in await self._store.sums(question):
            counts[str(row.group[0])] = counts.get(str(row.group[0]), 0) + row.events
        for watcher in self._all:
            if counts.get(watcher.user_id, 0) != before.get(watcher.user_id, 0):
                watcher.changed.set()
        self._since, self._counts = since, counts


class WatchUsage:
    """Sends a person's figures."""

    def __init__(self, reckon: Reckoning, watchers: Watchers, clock: Clock) -> None:
        self._reckon = reckon
        self._watchers = watchers
        self._clock = clock
        self._reading = asyncio.Semaphore(_READERS)

    async def __call__(
        self, caller: Principal, user_id: str, start: datetime | None, time_zone: str
    ) -> AsyncIterator[Reading]:
        """Figures now, whenever they have changed, and every 15 seconds. Raises InvalidArgument, PermissionDenied, TooManyWatchers; Unavailable, also
        when the server stops."""
        owner = whose(caller, user_id, SCOPE)
        zone = zone_of(time_zone, "time_zone")
        now = self._clock()
        begin = whole_millis(start or beginning_of_day(now, zone))
        if not now - _LONGEST <= begin <= now:
            raise InvalidArgument.field(
                "start_time", f"must lie in the past, at most {_LONGEST.days} days ago"
            )
        told: Figures | None = None
        loop = asyncio.get_running_loop()
        until = loop.time()
        with self._watchers.watching(owner) as watcher:
            while True:
                if told is not None:
                    await _set_or_time(watcher.changed, until)
                if self._watchers.closed:
                    break
                watcher.changed.clear()
                # What might have changed, and has not, puts the sign of life off no further.
                due = loop.time() >= until
                reading = await self._read(owner, begin)
                if due or reading.figures != told:
                    told = reading.figures
                    until = loop.time() + _ALIVE_SECONDS
                    yield reading
        raise Unavailable("The server is stopping; watch again.", reason="SHUTTING_DOWN")

    async def _read(self, owner: str, begin: datetime) -> Reading:
        async with self._reading:
            now = whole_millis(self._clock())
            span = Span(begin, max(now, begin + timedelta(milliseconds=1)), zone_of(""))
            answer = await self._reckon(span, (), Filter({Dimension.USER: (owner,)}))
            return Reading(begin, now, answer.reckoned.total())


async def _set_or_time(event: asyncio.Event, time: float) -> None:
    """Until the event is set, or the loop's time has come."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(time):
            await event.wait()
