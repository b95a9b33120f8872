"""Failures, as they are raised and as they are recorded, so that whoever asks later is told the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.kernel import errors
from services.kernel.errors import ServiceError


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a generation failed, as its watchers are told, then and later. `code` is a canonical status code's number."""

    code: int
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_after: float | None = None


_BY_CODE: dict[int, type[ServiceError]] = {
    kind.code.value: kind
    for kind in (
        errors.Cancelled,
        errors.InvalidArgument,
        errors.DeadlineExceeded,
        errors.NotFound,
        errors.AlreadyExists,
        errors.PermissionDenied,
        errors.ResourceExhausted,
        errors.FailedPrecondition,
        errors.Aborted,
        errors.OutOfRange,
        errors.Unimplemented,
        errors.Unavailable,
        errors.Unauthenticated,
    )
}


# What is told of a defect; its text stays in the log.
MASKED = Failure(errors.Code.INTERNAL.value, "INTERNAL", "the server failed; its log knows why")


def failure_of(error: ServiceError) -> Failure:
    """What to record of a failure."""
    return Failure(error.code.value, error.reason, error.message, dict(error.metadata), error.retry_after)


def error_of(failure: Failure) -> ServiceError:
    """The failure to raise again."""
    kind = _BY_CODE.get(failure.code, ServiceError)
    error = kind(failure.message, reason=failure.reason, metadata=failure.metadata)
    error.retry_after = failure.retry_after
    return error
