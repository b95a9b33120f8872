"""From a ServiceError to the canonical status and its google.rpc details, the one place that maps them."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from services.kernel.errors import ServiceError

DETAILS_KEY = "grpc-status-details-bin"
DOMAIN = "antiphon"
# Peers refuse trailing metadata past 8 KiB by default. The message travels twice, once with up to three bytes for one, and the details
# in base64: within these bounds all of it stays below 7 KiB.
MAXIMUM_TEXT = 512
MAXIMUM_VALUE = 256
MAXIMUM_VIOLATIONS_SIZE = 2048


def details_of(error: ServiceError) -> bytes:
    """The serialized google.rpc.Status that travels in `grpc-status-details-bin`."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=error.reason,
            domain=DOMAIN,
            metadata={key: clip(value, MAXIMUM_VALUE) for key, value in error.metadata.items()},
        )
    ]
    if error.violations:
        bad_request = error_details_pb2.BadRequest()
        size = 0
        for violation in error.violations:
            field, description = (
                clip(violation.field, MAXIMUM_VALUE),
                clip(violation.description, MAXIMUM_VALUE),
            )
            size += len(field.encode()) + len(description.encode()) + 8
            if size > MAXIMUM_VIOLATIONS_SIZE:
                break
            bad_request.field_violations.add(field=field, description=description)
        details.append(bad_request)
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(max(0.0, error.retry_after) * 1_000_000_000))
        details.append(retry)
    if error.quota is not None:
        quota = error_details_pb2.QuotaFailure()
        quota.violations.add(
            subject=error.quota.subject, description=clip(error.quota.description, MAXIMUM_VALUE)
        )
        details.append(quota)
    if error.resource is not None:
        details.append(
            error_details_pb2.ResourceInfo(
                resource_type=error.resource.type, resource_name=clip(error.resource.name, MAXIMUM_VALUE)
            )
        )
    status = status_pb2.Status(code=error.code.value, message=clip(error.message))
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status.SerializeToString()


def clip(text: str, size: int = MAXIMUM_TEXT) -> str:
    """A text that fits into a trailer: at most `size` bytes of UTF-8, without lone surrogates, which can't be encoded."""
    data = text.encode("utf-8", "replace")
    if len(data) <= size:
        return data.decode()
    return data[: size - 3].decode("utf-8", "ignore") + "…"
