"""From a gRPC status with google.rpc details to an AntiphonError."""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from antiphon_client import errors

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
    has_retry = False
    for detail in _details(call):
        has_retry = detail.Unpack(retry) or has_retry
        if not detail.Unpack(info):
            detail.Unpack(bad)
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
        metadata=dict(info.metadata),
        violations=[errors.Violation(v.field, v.description) for v in bad.field_violations],
        retry_after=retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9 if has_retry else None,
        request_id=_request_id(call) or info.metadata.get("request_id", ""),
    )


def _details(call: grpc.Call) -> list[any_pb2.Any]:
    try:
        status = rpc_status.from_call(call)
    except ValueError:
        # A proxy may have put another code in front of the server's details; the code that arrived counts.
        return []
    return list(status.details) if status is not None else []


def _request_id(call: grpc.Call) -> str:
    for key, value in call.trailing_metadata() or ():
        if key == "x-request-id":
            return value if isinstance(value, str) else value.decode("ascii", "replace")
    return ""
