"""Whether an event that a service tells can be counted."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from services.analytics.model.events import UNITS, RecordedEvent, Series, SubmittedEvent
from services.capabilities.metering.model import Provenance, ServiceType, UsageStatus
from services.kernel.errors import Violation

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}").fullmatch

# As the contract has them, and what no call can have used: so the sum of nine billion calls is within 64 bits.
_TEXTS = (
    ("operation", 64),
    ("error_reason", 64),
    ("user_id", 64),
    ("api_key_id", 64),
    ("session_id", 64),
    ("project", 128),
    ("model", 256),
    ("provider", 128),
    ("request_id", 64),
    ("variant", 64),
)
_MOST = 1_000_000_000
_MOST_QUANTITIES = 32

_SERVICES = frozenset(each.value for each in ServiceType)
_STATUSES = frozenset(each.value for each in UsageStatus)
_PROVENANCES = frozenset(each.value for each in Provenance)

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_LONGEST = 32 * _DAY
# A service's clock may be put right while a call is made.
_CLOCK_STEP = _DAY
_AHEAD = _DAY


def judged(event: SubmittedEvent, now: int, oldest: int) -> RecordedEvent | tuple[Violation, ...]:
    """The event, if it can be counted, else what is wrong with it. `now` and `oldest`, before which no event is kept any more, are in microseconds
    since 1970."""
    event_id = event.event_id.lower()
    faults: list[Violation] = []
    end = _end(event_id, now, oldest, faults)
    if event.service_type not in _SERVICES:
        faults.append(Violation("service_type", "must be one of the contract's service types"))
    if event.status not in _STATUSES:
        faults.append(Violation("status", "must be one of the contract's statuses"))
    if event.provenance not in _PROVENANCES:
        faults.append(Violation("provenance", "must be one of the contract's provenances"))
    if not event.operation:
        faults.append(Violation("operation", "must not be empty"))
    for name, longest in _TEXTS:
        text: str = getattr(event, name)
        if len(text) > longest:
            faults.append(Violation(name, f"must have at most {longest} characters"))
        elif "\0" in text:
            faults.append(Violation(name, "must not have the character U+0000"))
    start = _start(event.start_time, end, faults)
    latency = _duration("latency", event.latency, faults)
    first_token = -1
    if event.time_to_first_token is not None:
        first_token = _duration("time_to_first_token", event.time_to_first_token, faults)
    quantities, units = _quantities(event.quantities, faults)
    if faults:
        return tuple(faults)
    series = Series(
        event.service_type,
        event.operation,
        event.model,
        event.provider,
        event.project,
        event.status,
        event.error_reason,
        event.refused,
        event.variant,
        event.provenance,
        units,
        event.user_id,
        event.api_key_id,
    )
    return RecordedEvent(
        event_id, series, end, start, latency, first_token, event.session_id, event.request_id, quantities
    )


def _end(event_id: str, now: int, oldest: int, faults: list[Violation]) -> int:
    """The time of the id; 0 when it is none."""
    if not _UUID7(event_id):
        faults.append(Violation("event_id", "must be a UUIDv7"))
        return 0
    end = int(event_id[:8] + event_id[9:13], 16) * 1000
    if end > now + _AHEAD:
        what = f"its time, {_told(end)}, has not come; look at the service's clock"
        faults.append(Violation("event_id", what))
    elif end < oldest:
        what = f"its time, {_told(end)}, is before {_told(oldest)}, from when on events are kept"
        faults.append(Violation("event_id", what))
    return end


def _start(time: tuple[int, int] | None, end: int, faults: list[Violation]) -> int:
    if time is None:
        faults.append(Violation("start_time", "is missing"))
        return 0
    seconds, nanos = time
    start = seconds * _SECOND + nanos // 1000
    # Where the id has no time, its own fault says so.
    if not 0 <= nanos < 1_000_000_000 or (end and not end - _LONGEST <= start <= end + _CLOCK_STEP):
        faults.append(
            Violation(
                "start_time",
                "must lie in the 32 days before the time of event_id; look at the service's clock",
            )
        )
    return start


def _duration(name: str, value: tuple[int, int] | None, faults: list[Violation]) -> int:
    if value is None:
        faults.append(Violation(name, "is missing"))
        return 0
    seconds, nanos = value
    microseconds = seconds * _SECOND + nanos // 1000
    if not (-1_000_000_000 < nanos < 1_000_000_000 and 0 <= microseconds <= _LONGEST):
        faults.append(Violation(name, "must be between 0 and 32 days"))
    return microseconds


def _quantities(given: tuple[tuple[int, int], ...], faults: list[Violation]) -> tuple[tuple[int, ...], int]:
    amounts = [0] * len(UNITS)
    seen = used = 0
    if len(given) > _MOST_QUANTITIES:
        # What is wrong with each of thousands would make the answer too long to be received.
        faults.append(Violation("quantities", f"must have at most {_MOST_QUANTITIES} items"))
        return tuple(amounts), used
    for index, (unit, amount) in enumerate(given):
        if not 1 <= unit <= len(UNITS):
            faults.append(Violation(f"quantities[{index}].unit", "must be one of the contract's units"))
        elif not 0 <= amount <= _MOST:
            faults.append(Violation(f"quantities[{index}].amount", f"must be between 0 and {_MOST}"))
        elif seen >> unit & 1:
            faults.append(Violation(f"quantities[{index}].unit", "stands twice"))
        else:
            seen |= 1 << unit
            amounts[unit - 1] = amount
            if amount:
                used |= 1 << (unit - 1)
    return tuple(amounts), used


def _told(microseconds: int) -> str:
    try:
        return datetime.fromtimestamp(microseconds / _SECOND, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError):
        return "thousands of years away"
