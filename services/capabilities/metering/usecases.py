"""SummarizeUsage and RedeliverUsage: what a service has done, for whoever compares it with what the meter was told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.capabilities.metering.model import UsageReport
from services.capabilities.metering.ports import BookStore
from services.kernel.errors import InvalidArgument

_LONGEST = timedelta(days=32)
# About 1 MiB; clients take 4 MiB at once by default.
_MOST = 10_000
_REDELIVERED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class SummarizeUsage:
    """Adds up what was used."""

    store: BookStore

    async def __call__(self, start: datetime, end: datetime) -> UsageReport:
        """The sums of [start, end) by user, model and status. Raises InvalidArgument for a span that is empty, longer than 32 days, or of
        more than 10,000 sums, and Unavailable."""
        _check_span(start, end)
        found = await self.store.summarize(start, end, _MOST + 1)
        if len(found) > _MOST:
            raise InvalidArgument.field(
                "end_time", f"more than {_MOST} sums are in this span; ask for shorter ones"
            )
        # In this order: a call that ends in between is pending or not in the sums, and what is delivered in between has arrived.
        return UsageReport(found, await self.store.pending(start, end))


@dataclass(frozen=True, slots=True)
class RedeliverUsage:
    """Has what was used be told once more."""

    store: BookStore
    enabled: bool

    async def __call__(self, start: datetime, end: datetime) -> int:
        """Put the usage events of [start, end) into the outbox again, in small steps. Returns how many wait there because of it; none where
        nothing is shipped at all. Raises InvalidArgument for a span that is empty or longer than 32 days, and Unavailable; some may wait
        then, and to repeat it is safe."""
        _check_span(start, end)
        count, after = 0, ""
        while self.enabled:
            step = await self.store.redeliver(start, end, after, _REDELIVERED_AT_ONCE)
            if not step.last_event_id:
                break
            count, after = count + step.event_count, step.last_event_id
        return count


def _check_span(start: datetime, end: datetime) -> None:
    if end <= start:
        raise InvalidArgument.field("end_time", "must be after start_time")
    if end - start > _LONGEST:
        raise InvalidArgument.field(
            "end_time", f"must be at most {_LONGEST.days} days after start_time; ask in parts"
        )
