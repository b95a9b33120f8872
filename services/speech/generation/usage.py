"""What the meter is told of a generation that has ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from services.capabilities.metering.model import (
    NO_USAGE,
    Provenance,
    ServiceType,
    Unit,
    Usage,
    UsageEvent,
    UsageStatus,
)
from services.speech.model import Generation, Used


def quantities_of(used: Used) -> Mapping[Unit, int]:
    """What was used, by unit; what was not used is left out."""
    amounts = {Unit.CHARACTERS: used.characters, Unit.AUDIO_MILLISECONDS: used.audio_milliseconds}
    return {unit: amount for unit, amount in amounts.items() if amount}


def usage_event(
    generation: Generation,
    status: UsageStatus,
    reason: str,
    used: Used,
    first_audio: timedelta | None,
    event_id: str,
    end: datetime,
) -> UsageEvent:
    """What a generation used that ended at `end`; the same for the same arguments.

    `reason` is that of the failure, empty without one. `first_audio` is the time from the beginning until there was audio, None when there
    was none. `event_id` is a UUIDv7 made at the end. An `end` before the beginning, as of two clocks, counts as no time.
    """
    quantities = quantities_of(used)
    return UsageEvent(
        event_id=event_id,
        service_type=ServiceType.TEXT_TO_SPEECH,
        operation=generation.order.operation,
        status=status,
        error_reason=reason,
        user_id=generation.user_id,
        api_key_id=generation.api_key_id,
        session_id="",
        project="",
        model=generation.order.model,
        provider=generation.order.provider,
        request_id=generation.request_id,
        start_time=generation.create_time,
        latency=max(end - generation.create_time, timedelta()),
        time_to_first_token=first_audio,
        usage=Usage(quantities, Provenance.MEASURED) if quantities else NO_USAGE,
    )
