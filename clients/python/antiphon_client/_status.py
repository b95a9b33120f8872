"""From a gRPC status with google.rpc details to an AntiphonError."""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from antiphon_client import errors

_DETAILS = "grpc-status-details-bin"
_BY_CODE: dict[grpc.StatusCode, type[errors.AntiphonError]] = {
    kind.default_code: kind
    for kind in (
        errors.InvalidArgument,
        errors.Unauthenticated,
        errors.PermissionDenied,
        errors.NotFound,
        errors.AlreadyExists,
        errors.FailedPrecondition,
        errors.Aborted,
        errors.OutOfRange,
        errors.ResourceExhausted,
        errors.Cancelled,
        errors.DeadlineExceeded,
        errors.Unimplemented,
        errors.Unavailable,
    )
}


def error_of(failed: grpc.RpcError, target: str) -> errors.AntiphonError:
    """The typed error of a failed call to `target`, be it of a synchronous or an asynchronous channel."""
    # Every failed call of grpc is its own status, which the type of the exception does not say.
    call: grpc.Call = failed  # type: ignore[assignment]
    code = call.code()
    info = error_details_pb2.ErrorInfo()
    retry = error_details_pb2.RetryInfo()
    bad = error_details_pb2.BadRequest()
    quota = error_details_pb2.QuotaFailure()
    about = error_details_pb2.ResourceInfo()
    has_retry = False
    for detail in _details(call):
        has_retry = _unpacked(detail, retry) or has_retry
        for kept in (info, bad, quota, about):
            _unpacked(detail, kept)
    trailers = _trailers(call)
    message = call.details() or code.name
    kind = _BY_CODE.get(code, errors.ServerError)
    if not info.reason and code is grpc.StatusCode.UNAVAILABLE:
        kind, message = errors.Unreachable, f"{target} can't be reached: {message}"
    elif not info.reason and code is grpc.StatusCode.DEADLINE_EXCEEDED:
        message = f"{target} did not answer in time"
    return kind(
        message,
        code=code,
        reason=info.reason,
        domain=info.domain,
        metadata=dict(info.metadata),
        violations=[errors.Violation(v.field, v.description) for v in bad.field_violations],
        retry_after=retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9 if has_retry else None,
        resource=errors.Resource(about.resource_type, about.resource_name) if about.resource_type else None,
        quotas=[errors.Quota(v.subject, v.description) for v in quota.violations],
        rate_limit=_rate_limit(trailers),
        request_id=trailers.get("x-request-id") or info.metadata.get("request_id", ""),
    )


def no_message() -> errors.ServerError:
    """The error of a call that ended well without a message, or with bytes that are none."""
    return errors.ServerError("a response is no message")


def _details(call: grpc.Call) -> list[any_pb2.Any]:
    status = status_pb2.Status()
    try:
        for key, value in call.trailing_metadata() or ():
            if key == _DETAILS and isinstance(value, bytes):
                status.ParseFromString(value)
    except DecodeError:
        return []
    # A proxy may have put another code in front of the server's details; the code that arrived counts.
    return list(status.details) if status.code == call.code().value[0] else []


def _unpacked(detail: any_pb2.Any, into: Message) -> bool:
    try:
        return detail.Unpack(into)
    except DecodeError:
        into.Clear()
        return False


def _trailers(call: grpc.Call) -> dict[str, str]:
    return {key: value for key, value in call.trailing_metadata() or () if isinstance(value, str)}


def _rate_limit(trailers: dict[str, str]) -> errors.RateLimit | None:
    try:
        return errors.RateLimit(
            int(trailers["ratelimit-limit"]),
            int(trailers["ratelimit-remaining"]),
            float(trailers["ratelimit-reset"]),
        )
    except (KeyError, ValueError):
        return None
