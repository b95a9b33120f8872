"""The meter of a service: what its calls used, on the way to the store."""

from __future__ import annotations

from services.capabilities.metering.metrics import ServiceUsage
from services.capabilities.metering.model import UsageEvent


class Meter:
    """Asked before the result of a call is stored, and told when it was."""

    def __init__(self, usage: ServiceUsage, *, enabled: bool) -> None:
        self._usage = usage
        self._enabled = enabled

    def taken(self, event: UsageEvent) -> UsageEvent | None:
        """The event as it is to be stored with the result; None when nothing is recorded."""
        return event if self._enabled else None

    def stored(self, event: UsageEvent | None) -> None:
        """It was stored, now for the first time."""
        if event is not None:
            self._usage.used(event)
