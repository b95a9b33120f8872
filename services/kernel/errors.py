"""The ways in which a call can fail.

ServiceError
├── Cancelled
├── InvalidArgument
├── DeadlineExceeded
├── NotFound
├── AlreadyExists
├── PermissionDenied
├── ResourceExhausted
├── FailedPrecondition
├── Aborted
├── OutOfRange
├── Unimplemented
├── Unavailable
└── Unauthenticated

Services derive their own failures from these. Whatever is no ServiceError is a defect: it is logged and masked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar


class Code(Enum):
    """Canonical status codes (google.rpc.Code), by their numbers."""

    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class Violation:
    """A field, by its path in the request, and what is wrong with it."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Resource:
    """What a NotFound or AlreadyExists is about, such as `chat.session` and its id."""

    type: str
    name: str


@dataclass(frozen=True, slots=True)
class QuotaViolation:
    """Which limit was reached, such as `chat`, and for whom."""

    subject: str
    description: str


class ServiceError(Exception):
    """A failure that its caller is told about.

    `message` is shown to the caller, so it says what to do and names nothing internal. `reason` is an
    antiphon.errors.v1.ErrorReason without its prefix; `metadata` are its strings; `retry_after` is in seconds.
    """

    code: ClassVar[Code] = Code.INTERNAL
    reason: str = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        violations: Iterable[Violation] = (),
        resource: Resource | None = None,
        quota: QuotaViolation | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if reason is not None:
            self.reason = reason
        self.metadata: dict[str, str] = dict(metadata or {})
        self.retry_after = retry_after
        self.violations: tuple[Violation, ...] = tuple(violations)
        self.resource = resource
        self.quota = quota


class Cancelled(ServiceError):
    """What was asked for has been cancelled."""

    code = Code.CANCELLED


class InvalidArgument(ServiceError):
    """A request that breaks a rule, whatever the state of the server."""

    code = Code.INVALID_ARGUMENT
    reason = "INVALID_ARGUMENT"

    @classmethod
    def field(cls, field: str, description: str, **more: str) -> InvalidArgument:
        """The usual case: one field, and what is wrong with it."""
        return cls(f"{field}: {description}", violations=[Violation(field, description)], **more)  # type: ignore[arg-type]


class DeadlineExceeded(ServiceError):
    """Time ran out; metadata `stage` says during what."""

    code = Code.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"


class NotFound(ServiceError):
    """Absent, or somebody else's: the two can't be told apart."""

    code = Code.NOT_FOUND
    reason = "NOT_FOUND"

    @classmethod
    def of(cls, type_: str, name: str) -> NotFound:
        """The usual case: `type_` is a resource type such as `chat.session`, `name` its id."""
        return cls(f"{type_} {name} was not found", resource=Resource(type_, name))


class AlreadyExists(ServiceError):
    """Something of this name exists already."""

    code = Code.ALREADY_EXISTS


class PermissionDenied(ServiceError):
    """The caller is known and may not."""

    code = Code.PERMISSION_DENIED


class ResourceExhausted(ServiceError):
    """A limit or a queue is full."""

    code = Code.RESOURCE_EXHAUSTED
    reason = "OVERLOADED"


class FailedPrecondition(ServiceError):
    """The state of the server has to be changed before this call can succeed."""

    code = Code.FAILED_PRECONDITION


class Aborted(ServiceError):
    """Something else got in the way; the whole sequence may be tried again."""

    code = Code.ABORTED


class OutOfRange(ServiceError):
    """A position past the end."""

    code = Code.OUT_OF_RANGE


class Unimplemented(ServiceError):
    """Part of the contract, and not built yet."""

    code = Code.UNIMPLEMENTED
    reason = "NOT_IMPLEMENTED"


class Unavailable(ServiceError):
    """Can't be reached now; the same call may succeed later."""

    code = Code.UNAVAILABLE
    reason = "UNAVAILABLE"

    def __init__(self, message: str, *, retry_after: float = 1.0, **more: object) -> None:
        super().__init__(message, retry_after=retry_after, **more)  # type: ignore[arg-type]


class Unauthenticated(ServiceError):
    """Who calls is not known."""

    code = Code.UNAUTHENTICATED
    reason = "TOKEN_INVALID"
