"""Calls that made nothing, as the meter is told of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from services.kernel.principal import Principal

Question = Callable[[], Awaitable[bool | None]]
"""Whether a call has begun something; None while that is not known yet. Raises Unavailable when it can't be told now."""


class EndedCall(NamedTuple):
    """A call that ended without having begun anything, unless `question` says otherwise later.

    `service_type` is the number of its antiphon.usage.v1.ServiceType, `operation` the RPC's name, `reason` the
    antiphon.errors.v1.ErrorReason that its caller was told, without its prefix; empty for one that its caller ended. `model` is one that
    exists, or empty; `seconds` is how long the call took.
    """

    service_type: int
    operation: str
    principal: Principal
    cancelled: bool
    reason: str
    project: str
    model: str
    seconds: float
    question: Question | None = None


class CallMeter(Protocol):
    """Keeps count of calls that made nothing; what a call made is metered where it is made."""

    def ended_without_result(self, call: EndedCall) -> None:
        """A metered call has just ended. Neither waits nor fails: one too many is counted and forgotten."""
        ...
