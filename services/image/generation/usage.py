"""What the meter is told of a generation that has ended."""

from __future__ import annotations

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
from services.image.model import Generation

OPERATION = "GenerateImage"


def usage_event(
    generation: Generation, status: UsageStatus, reason: str, images: int, event_id: str, end: datetime
) -> UsageEvent:
    """What a generation used that ended at `end`; the same for the same arguments.

    `images` is how many were made and kept; `reason` is that of the failure, empty without one. `event_id` is a
    UUIDv7 made at the end. An `end` before the beginning, as of two clocks, counts as no time.
    """
    return UsageEvent(
        event_id=event_id,
        service_type=ServiceType.TEXT_TO_IMAGE,
        operation=OPERATION,
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
        time_to_first_token=None,
        usage=Usage({Unit.IMAGES: images}, Provenance.MEASURED) if images else NO_USAGE,
        variant=str(generation.order.size),
    )
