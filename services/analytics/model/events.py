"""Usage events as Analytics keeps them: what many calls have in common apart from what is one call's own.

Tuples and not dataclasses: a batch has thousands of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from services.capabilities.metering.model import Unit
from services.kernel.errors import Violation

UNITS: tuple[Unit, ...] = tuple(Unit)
"""The order of quantities wherever they stand in a row: a unit's place is its number less one."""


class Series(NamedTuple):
    """What calls have in common that add up to the same figures. Numbers are those of antiphon.usage.v1.

    `units` has a bit for each unit that these calls used, at the unit's place in UNITS: so either all of them have a price, or none.
    `user_id` and `api_key_id` are empty for anonymous callers and deleted people.
    """

    service_type: int
    operation: str
    model: str
    provider: str
    project: str
    status: int
    error_reason: str
    refused: bool
    variant: str
    provenance: int
    units: int
    user_id: str
    api_key_id: str


class RecordedEvent(NamedTuple):
    """One call, judged to be good. Times are in microseconds since 1970; `end_time`, which it counts at, is that of its `event_id`, a UUIDv7 in
    lower case. `first_token` is -1 when nothing was streamed. `quantities` are by UNITS."""

    event_id: str
    series: Series
    end_time: int
    start_time: int
    latency: int
    first_token: int
    session_id: str
    request_id: str
    quantities: tuple[int, ...]


class SubmittedEvent(NamedTuple):
    """A call as a service tells it, not judged yet. Times and durations are (seconds, nanoseconds), None where they are missing; quantities are
    (unit, amount)."""

    event_id: str
    service_type: int
    operation: str
    status: int
    error_reason: str
    user_id: str
    api_key_id: str
    session_id: str
    project: str
    model: str
    provider: str
    request_id: str
    start_time: tuple[int, int] | None
    latency: tuple[int, int] | None
    time_to_first_token: tuple[int, int] | None
    quantities: tuple[tuple[int, int], ...]
    provenance: int
    variant: str
    refused: bool


@dataclass(frozen=True, slots=True)
class RejectedEvent:
    """A bad item, kept for inspection. `payload` is the event as it came, serialized; the same payload from the same source is the same
    RejectedEvent."""

    rejected_event_id: str
    source: str
    payload: bytes
    violations: tuple[Violation, ...]
    receive_time: datetime
    receive_count: int = 1
