"""The failures of Analytics.

FailedPrecondition ─ ServiceUnknown
Aborted ──────────── ReconcileRunning
ResourceExhausted ── TooManyWatchers, TooManyQuestions
"""

from __future__ import annotations

from services.kernel import errors


class ServiceUnknown(errors.FailedPrecondition):
    """The books of a service are asked for whose address nobody has set."""

    reason = "SERVICE_UNKNOWN"

    def __init__(self, service: str) -> None:
        super().__init__(
            f"the service {service} can't be asked: neither is it in this process, nor is its address set (ANTIPHON_PEERS__…)",
            metadata={"service": service},
        )


class ReconcileRunning(errors.Aborted):
    """Another repair is at work."""

    reason = "RECONCILE_RUNNING"

    def __init__(self) -> None:
        super().__init__("another repair is at work; try again when it is done")


class TooManyQuestions(errors.ResourceExhausted):
    """More questions wait for their turn than the queue takes."""

    reason = "OVERLOADED"

    def __init__(self) -> None:
        super().__init__(
            "too many questions about usage at once; try again shortly",
            metadata={"queue": "usage questions"},
            retry_after=2.0,
        )


class TooManyWatchers(errors.ResourceExhausted):
    """As many callers watch their usage as this process serves, or as many streams watch the same person's."""

    reason = "OVERLOADED"

    def __init__(self) -> None:
        super().__init__(
            "too many callers watch their usage; try again later, or ask with GetUserAnalytics",
            metadata={"queue": "usage watchers"},
            retry_after=5.0,
        )
