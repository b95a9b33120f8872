"""Usage events as Analytics keeps them, for its tests: whole ones, and those that hypothesis makes up."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from antiphon.usage.v1 import usage_pb2
from hypothesis import strategies as st

from services.analytics.model.events import UNITS, RecordedEvent, RejectedEvent, Series
from services.kernel.errors import Violation
from services.kernel.ids import new_id

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
QUARTER = timedelta(minutes=15)
DAY = timedelta(days=1)

SERIES = Series(
    service_type=1,
    operation="StreamChat",
    model="echo",
    provider="echo",
    project="demo",
    status=1,
    error_reason="",
    refused=False,
    variant="",
    provenance=1,
    units=0b101,
    user_id="",
    api_key_id="",
)
"""Successful chats of nobody that used tokens of input and output."""


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment_of(microseconds: int) -> datetime:
    """The moment so many microseconds after 1970 began."""
    return EPOCH + timedelta(microseconds=microseconds)


def midnight(moment: datetime) -> datetime:
    """When the day of the moment began, in UTC."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def yesterday(hours: float = 0.0) -> datetime:
    """So long after yesterday began: a day that is over, and whose events are kept."""
    return midnight(datetime.now(UTC)) - DAY + timedelta(hours=hours)


def id_at(moment: datetime) -> str:
    """A new UUIDv7 of the moment's millisecond."""
    millis = (moment - EPOCH) // MILLISECOND
    drawn = secrets.randbits(74)
    return str(
        uuid.UUID(
            int=(millis << 80) | (0x7 << 76) | (drawn >> 62 << 64) | (0b10 << 62) | (drawn & (1 << 62) - 1)
        )
    )


def quantities(**amounts: int) -> tuple[int, ...]:
    """Amounts by UNITS, from the units' names in lower case."""
    return tuple(amounts.get(unit.name.lower(), 0) for unit in UNITS)


def units_of(amounts: tuple[int, ...]) -> int:
    """The bits of the units that were used."""
    return sum(1 << place for place, amount in enumerate(amounts) if amount)


def event(at: datetime | None = None, used: tuple[int, ...] | None = None, **changes: Any) -> RecordedEvent:
    """An event at a moment (cut to its millisecond; absent: noon of yesterday). `changes` are fields of it and of its series."""
    event_id = changes.pop("event_id", None) or id_at(at or yesterday(12))
    used = quantities(input_tokens=10, output_tokens=5) if used is None else used
    end_time = (uuid.UUID(event_id).int >> 80) * 1000
    own = {name: changes.pop(name) for name in set(changes) & set(RecordedEvent._fields)}
    latency = own.get("latency", 1_500_000)
    made = RecordedEvent(
        event_id=event_id,
        series=SERIES._replace(units=units_of(used), **changes),
        end_time=end_time,
        start_time=end_time - latency,
        latency=latency,
        first_token=300_000,
        session_id="",
        request_id="",
        quantities=used,
    )
    return made._replace(**own)


def rejected(user_id: str = "", source: str = "chat", **changes: Any) -> RejectedEvent:
    """A bad item: its operation is missing, and there is a negative quantity."""
    message = usage_pb2.UsageEvent(
        event_id=new_id(),
        user_id=user_id,
        api_key_id=f"key of {user_id}" if user_id else "",
        session_id=new_id(),
        request_id=new_id(),
        quantities=[usage_pb2.Quantity(unit=usage_pb2.UNIT_IMAGES, amount=-1)],
    )
    made = RejectedEvent(
        rejected_event_id=new_id(),
        source=source,
        payload=message.SerializeToString(deterministic=True),
        violations=(
            Violation("operation", "must not be empty"),
            Violation("quantities[0].amount", "must not be negative"),
        ),
        receive_time=datetime.now(UTC).replace(microsecond=0),
    )
    return replace(made, **changes)


# Few values each, so that events share series, groups and steps.
_TEXTS = st.sampled_from(["", "a", "b", "Ünïcode $.x"])
_AMOUNTS = st.one_of(st.just(0), st.just(0), st.integers(1, 9), st.just(10**9))
_LATENCIES = st.one_of(st.integers(0, 5), st.integers(0, 90_000_000), st.just(31 * 86_400_000_000))


@st.composite
def events_of(draw: st.DrawFn, start: datetime, end: datetime) -> RecordedEvent:
    """Events of [start, end), many of them at edges of quarters."""
    millis = (end - start) // MILLISECOND
    offset = draw(st.integers(0, millis - 1))
    if draw(st.booleans()):
        edge = offset // 900_000 * 900_000
        offset = min(max(edge + draw(st.sampled_from([-1, 0, 1])), 0), millis - 1)
    status = draw(st.sampled_from([1, 1, 2, 3]))
    refused = status != 1 and draw(st.booleans())
    used = (0,) * len(UNITS) if refused else tuple(draw(_AMOUNTS) for _ in UNITS)
    user_id = draw(st.sampled_from(["", "u1", "u2"]))
    return event(
        start + offset * MILLISECOND,
        used,
        service_type=draw(st.sampled_from([1, 2])),
        operation=draw(st.sampled_from(["Chat", "StreamChat"])),
        model=draw(_TEXTS),
        provider=draw(st.sampled_from(["", "echo"])),
        project=draw(_TEXTS),
        status=status,
        error_reason="" if status == 1 else draw(st.sampled_from(["", "RATE_LIMITED"])),
        refused=refused,
        variant=draw(st.sampled_from(["", "1024x1024"])),
        provenance=draw(st.sampled_from([1, 2])) if any(used) else 0,
        user_id=user_id,
        api_key_id=draw(st.sampled_from(["", "k1"])) if user_id else "",
        latency=draw(_LATENCIES),
        first_token=draw(st.sampled_from([-1, 0, 7, 250_000])),
        session_id=draw(st.sampled_from(["", "s1"])) if user_id else "",
        request_id=draw(st.sampled_from(["", "r1"])) if user_id else "",
    )
