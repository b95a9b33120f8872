"""SummarizeUsage: what Chat has done, for whoever compares it with what the meter was told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.chat.model import UsageSummary
from services.chat.ports import RecordStore
from services.kernel.errors import InvalidArgument

_LONGEST = timedelta(days=32)
# About 1 MiB; clients take 4 MiB at once by default.
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class SummarizeUsage:
    """Adds up what was used."""

    records: RecordStore

    async def __call__(self, start: datetime, end: datetime) -> Sequence[UsageSummary]:
        """The sums of [start, end) by user, model and status. Raises InvalidArgument for a span that is empty, longer than 32 days, or of
        more than 10,000 sums, and Unavailable."""
        if end <= start:
            raise InvalidArgument.field("end_time", "must be after start_time")
        if end - start > _LONGEST:
            raise InvalidArgument.field(
                "end_time", f"must be at most {_LONGEST.days} days after start_time; ask in parts"
            )
        found = await self.records.summarize(start, end, _MOST + 1)
        if len(found) > _MOST:
            raise InvalidArgument.field(
                "end_time", f"more than {_MOST} sums are in this span; ask for shorter ones"
            )
        return found
