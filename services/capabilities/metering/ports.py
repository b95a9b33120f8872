"""What the meter needs from others, as promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from services.capabilities.metering.model import Redelivered, UsageSummary


class Waiting(NamedTuple):
    """An event in an outbox: its id, and antiphon.usage.v1.UsageEvent serialized."""

    event_id: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in an outbox: how many events (counting stops at 100,000), how old the oldest is, in seconds, and how many were set aside."""

    events: int = 0
    oldest_seconds: float = 0.0
    set_aside: int = 0


class Outbox(Protocol):
    """Where a service's usage events wait for their delivery. The service itself adds them in the transaction of the result. All methods raise
    Unavailable."""

    async def add(self, events: Sequence[Waiting], user_ids: Sequence[str]) -> None:
        """Add events that belong to no result; `user_ids` are theirs, empty where there is none. Those that are there already are left alone."""
        ...

    async def take(self, owner_id: str, limit: int, max_bytes: int) -> Sequence[Waiting]:
        """Events that wait, those with the least ids, at most so many and so many bytes (one at least), if nobody else is at them: whoever took
        some is alone until it has not asked again for five seconds. They stay until they are removed. That two take the same is possible,
        and harmless."""
        ...

    async def remove(self, event_ids: Sequence[str]) -> None:
        """Forget events that were delivered."""
        ...

    async def set_aside(self, event_id: str, why: str) -> None:
        """Take an event no more, and keep it for inspection."""
        ...

    async def leave(self, owner_id: str) -> None:
        """Let others take from now on."""
        ...

    async def backlog(self) -> Backlog:
        """What waits."""
        ...


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a batch: how many events were new, were known, and were bad and are kept for inspection there."""

    accepted: int
    known: int
    rejected: int


class Sink(Protocol):
    """Where usage events are delivered to."""

    async def record(self, payloads: Sequence[bytes]) -> Delivered:
        """Deliver events, serialized antiphon.usage.v1.UsageEvents; once this returned they need never be sent again. Raises Unavailable,
        DeadlineExceeded and ResourceExhausted when it may be tried again later, InvalidArgument and ResourceExhausted with the reason
        MESSAGE_TOO_LARGE when the batch can't be taken as it is, such as one with bytes that are no event, and other ServiceErrors when the
        sink itself failed, maybe on one of the events."""
        ...


class BookStore(Protocol):
    """What a service keeps of its calls that have ended, for its books. All methods raise Unavailable."""

    async def summarize(self, start: datetime, end: datetime, limit: int) -> Sequence[UsageSummary]:
        """What the calls used whose usage events have an id made in [start, end): by user, model and status, in that order, at most the
        first `limit`."""
        ...

    async def pending(self, start: datetime, end: datetime) -> int:
        """How many of these events wait for their delivery."""
        ...

    async def redeliver(self, start: datetime, end: datetime, after: str, limit: int) -> Redelivered:
        """Have the usage events of the span be delivered again, of ids greater than `after` (empty: all) the first `limit`: each as it was, as
        far as its call still says. Those that wait already are left alone; those that were set aside wait again."""
        ...
