"""What a call used, without its price: Analytics alone prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum


class ServiceType(Enum):
    """A modality; the numbers are those of antiphon.usage.v1.ServiceType."""

    LLM_CHAT = 1
    TEXT_TO_IMAGE = 2
    TEXT_TO_SPEECH = 3


class UsageStatus(Enum):
    """How a metered call ended; numbers as in antiphon.usage.v1.UsageStatus."""

    SUCCESS = 1
    ERROR = 2
    CANCELLED = 3


class Unit(Enum):
    """What is counted; numbers as in antiphon.usage.v1.Unit. Units are disjoint: none counts what another one counts."""

    INPUT_TOKENS = 1
    CACHED_INPUT_TOKENS = 2
    OUTPUT_TOKENS = 3
    REASONING_TOKENS = 4
    IMAGES = 5
    CHARACTERS = 6
    AUDIO_MILLISECONDS = 7


class Provenance(Enum):
    """Where quantities come from; numbers as in antiphon.usage.v1.Provenance."""

    NONE = 0
    REPORTED = 1
    ESTIMATED = 2
    MEASURED = 3


@dataclass(frozen=True, slots=True)
class Usage:
    """Quantities by unit. Zero quantities are left out, none is negative."""

    quantities: Mapping[Unit, int] = field(default_factory=dict)
    provenance: Provenance = Provenance.NONE

    def __post_init__(self) -> None:
        if any(amount <= 0 for amount in self.quantities.values()):
            raise ValueError("a quantity is positive; leave out what was not used")
        if bool(self.quantities) != (self.provenance is not Provenance.NONE):
            raise ValueError("quantities have a provenance, and nothing else has one")


NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """What one call used, and whose call it was. `event_id` is a UUIDv7 made at the call's end. Of a `refused` one nothing began."""

    event_id: str
    service_type: ServiceType
    operation: str
    status: UsageStatus
    error_reason: str
    user_id: str
    api_key_id: str
    session_id: str
    project: str
    model: str
    provider: str
    request_id: str
    start_time: datetime
    latency: timedelta
    time_to_first_token: timedelta | None
    usage: Usage
    variant: str = ""
    refused: bool = False


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """What the calls of one person with one model and one status add up to. `user_id` is empty for anonymous callers."""

    user_id: str
    model: str
    status: UsageStatus
    event_count: int
    quantities: Mapping[Unit, int]


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What the calls of a span add up to. `pending_event_count`: how many of their events have still to be delivered."""

    summaries: Sequence[UsageSummary]
    pending_event_count: int


@dataclass(frozen=True, slots=True)
class Redelivered:
    """A step of a redelivery: the id of the last event that was looked at, empty when there was none, and how many wait for their delivery
    because of it."""

    last_event_id: str
    event_count: int
