"""RecordEvents: store what is good, keep what is bad."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from services.analytics.model.events import RecordedEvent, RejectedEvent, SubmittedEvent
from services.analytics.ports import Clock, UsageStore
from services.analytics.usecases.judging import judged
from services.kernel.errors import Violation
from services.kernel.ids import new_id

_AT_ONCE = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A bad item: its place in the batch, its id as it came, and what is wrong with it."""

    index: int
    event_id: str
    violations: tuple[Violation, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a batch."""

    accepted: int
    known: int
    rejected: tuple[Rejection, ...]


@dataclass(frozen=True, slots=True)
class RecordEvents:
    """Ingests batches. Events older than `retention` are bad: nothing would keep them. `stored` is told whose events are there now, `noted` what
    became of a batch."""

    store: UsageStore
    clock: Clock
    retention: timedelta
    noted: Callable[[Recorded], None]
    stored: Callable[[Collection[str]], None]

    async def __call__(
        self, source: str, events: Iterable[SubmittedEvent], payload: Callable[[int], bytes]
    ) -> Recorded:
        """Judge and store a batch of at most 10,000 events. `payload` tells what came at an index, serialized. Raises Unavailable; the same batch may
        then be sent again."""
        now = self.clock()
        moment, oldest = _microseconds(now), _microseconds(now - self.retention)
        accepted = known = 0
        rejected: list[Rejection] = []
        numbered = enumerate(events)
        # Thousands of events at once would hold up everybody else.
        while part := list(islice(numbered, _AT_ONCE)):
            good: list[RecordedEvent] = []
            bad: list[Rejection] = []
            for index, event in part:
                verdict = judged(event, moment, oldest)
                if isinstance(verdict, RecordedEvent):
                    good.append(verdict)
                else:
                    bad.append(Rejection(index, event.event_id, verdict))
            new = await self.store.record(good) if good else 0
            accepted, known = accepted + new, known + len(good) - new
            if good:
                self.stored({event.series.user_id for event in good})
            if bad:
                await self.store.reject(
                    [RejectedEvent(new_id(), source, payload(one.index), one.violations, now) for one in bad]
                )
                rejected += bad
            await asyncio.sleep(0)
        recorded = Recorded(accepted, known, tuple(rejected))
        self.noted(recorded)
        return recorded


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
