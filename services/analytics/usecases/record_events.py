"""RecordEvents: store what is good, keep what is bad."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.analytics.model.events import RecordedEvent, RejectedEvent, SubmittedEvent
from services.analytics.ports import Clock, UsageStore
from services.analytics.usecases.judging import judged
from services.kernel.errors import Violation
from services.kernel.ids import new_id

_AT_ONCE = 250
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
    """Ingests batches. Events older than `retention` are bad: nothing would keep them."""

    store: UsageStore
    clock: Clock
    retention: timedelta
    noted: Callable[[Recorded], None]

    async def __call__(
        self, source: str, events: Iterable[SubmittedEvent], payload: Callable[[int], bytes]
    ) -> Recorded:
        """Judge and store a batch of at most 10,000 events. `payload` tells what came at an index, serialized. Raises Unavailable; the same batch may
        then be sent again."""
        now = self.clock()
        moment, oldest = _microseconds(now), _microseconds(now - self.retention)
        good: list[RecordedEvent] = []
        bad: list[Rejection] = []
        for index, event in enumerate(events):
            if index % _AT_ONCE == _AT_ONCE - 1:
                # Thousands of events would hold up everybody else.
                await asyncio.sleep(0)
            verdict = judged(event, moment, oldest)
            if isinstance(verdict, RecordedEvent):
                good.append(verdict)
            else:
                bad.append(Rejection(index, event.event_id, verdict))
        accepted = await self.store.record(good) if good else 0
        if bad:
            await self.store.reject(
                [RejectedEvent(new_id(), source, payload(one.index), one.violations, now) for one in bad]
            )
        recorded = Recorded(accepted, len(good) - accepted, tuple(bad))
        self.noted(recorded)
        return recorded


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
