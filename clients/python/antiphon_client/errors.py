"""The ways in which a call can fail.

AntiphonError
├── InvalidArgument         a field breaks its rule; `violations` names it
├── Unauthenticated         who calls is not known: no credential, a bad or expired one, a wrong password
├── PermissionDenied        the caller is known and may not
├── NotFound                absent, or somebody else's
├── AlreadyExists           something of this name exists, or a request_id was used with another body
├── FailedPrecondition      something has to be changed first, such as a model's configuration
├── Aborted                 something else got in the way, such as another answer in the same session
├── OutOfRange              a position past the end of a record
├── ResourceExhausted       a limit or a queue is full; `retry_after` says when to come again
├── Cancelled               what was asked for has been cancelled
│   └── Closed              the client was closed, by `close` or at the end of its block
├── DeadlineExceeded        time ran out
├── Unimplemented           part of the contract, and not built yet
├── Unavailable             the server, or something that it needs, can't answer now
│   └── Unreachable         no server answered, or the connection broke
└── ServerError             the server failed in a way that it did not foresee
    ├── BrokenRecord        what the server sent does not go on where it broke off, and stayed so when asked again
    └── BrokenDownload      what was downloaded is not what the server says it is
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from antiphon.errors.v1.error_reason_pb2 import ErrorReason
from grpc import StatusCode


@dataclass(frozen=True, slots=True)
class Violation:
    """A field, by its path in the request, and what is wrong with it."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Resource:
    """What an error is about: its type, such as `chat.session`, and its id."""

    type: str
    name: str


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit that was reached: for whom, and which."""

    subject: str
    description: str


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Where the caller stands with a rate limit: how many calls a window allows, how many are left, and in how many seconds the next one
    begins."""

    limit: int
    remaining: int
    reset: float


class AntiphonError(Exception):
    """A call that failed.

    `code` is the canonical status code. `reason` is an antiphon.errors.v1.ErrorReason without its prefix, empty when the
    failure is not the server's own word (no connection, a proxy), and `domain` is `antiphon` beside one. `metadata` are the
    reason's strings, `retry_after` is in seconds, `resource` is what was not found or exists already, `quotas` are the limits
    that were reached, `rate_limit` is where the caller stands when the server tells, `request_id` finds the call in the
    server's log. `earlier` is what the call's first try met, where the last one met something else.
    """

    default_code: ClassVar[StatusCode] = StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        code: StatusCode | None = None,
        reason: str = "",
        domain: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after: float | None = None,
        resource: Resource | None = None,
        quotas: Sequence[Quota] = (),
        rate_limit: RateLimit | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.reason = reason
        self.domain = domain
        self.metadata: dict[str, str] = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after = retry_after
        self.resource = resource
        self.quotas = tuple(quotas)
        self.rate_limit = rate_limit
        self.request_id = request_id
        self.earlier: AntiphonError | None = None

    @property
    def error_reason(self) -> ErrorReason:
        """`reason` as a value of the contract; ERROR_REASON_UNSPECIFIED where there is none, or one that these stubs do not know."""
        try:
            return cast("ErrorReason", ErrorReason.Value(f"ERROR_REASON_{self.reason}"))
        except ValueError:
            return ErrorReason.ERROR_REASON_UNSPECIFIED

    def __str__(self) -> str:
        return f"{self.message} ({self.code.name}{f', {self.reason}' if self.reason else ''})"


class InvalidArgument(AntiphonError):
    """A request that breaks a rule, whatever the state of the server."""

    default_code = StatusCode.INVALID_ARGUMENT


class Unauthenticated(AntiphonError):
    """Who calls is not known."""

    default_code = StatusCode.UNAUTHENTICATED


class PermissionDenied(AntiphonError):
    """The caller is known and may not."""

    default_code = StatusCode.PERMISSION_DENIED


class NotFound(AntiphonError):
    """Absent, or somebody else's: the two can't be told apart."""

    default_code = StatusCode.NOT_FOUND


class AlreadyExists(AntiphonError):
    """Something of this name exists already."""

    default_code = StatusCode.ALREADY_EXISTS


class FailedPrecondition(AntiphonError):
    """The state of the server has to be changed before this call can succeed."""

    default_code = StatusCode.FAILED_PRECONDITION


class Aborted(AntiphonError):
    """Something else got in the way."""

    default_code = StatusCode.ABORTED


class OutOfRange(AntiphonError):
    """A position past the end."""

    default_code = StatusCode.OUT_OF_RANGE


class ResourceExhausted(AntiphonError):
    """A limit or a queue is full."""

    default_code = StatusCode.RESOURCE_EXHAUSTED


class Cancelled(AntiphonError):
    """What was asked for has been cancelled."""

    default_code = StatusCode.CANCELLED


class Closed(Cancelled):
    """The client was closed before the call had ended. Whether the server did what it was asked for is not known."""


class DeadlineExceeded(AntiphonError):
    """Time ran out; metadata `stage` says during what, when the server knows."""

    default_code = StatusCode.DEADLINE_EXCEEDED


class Unimplemented(AntiphonError):
    """Part of the contract, and not built yet."""

    default_code = StatusCode.UNIMPLEMENTED


class Unavailable(AntiphonError):
    """Can't be answered now; the same call may succeed later."""

    default_code = StatusCode.UNAVAILABLE


class Unreachable(Unavailable):
    """No server answered, or the connection broke."""


class ServerError(AntiphonError):
    """The server failed in a way that it did not foresee."""

    default_code = StatusCode.INTERNAL


class BrokenRecord(ServerError):
    """What the server sent leaves out or overlaps what it sent before."""


class BrokenDownload(ServerError):
    """What was downloaded has another length or another SHA-256 than the server tells."""
