"""From a ServiceError to the canonical status and its google.rpc details, the one place that maps them."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from services.kernel.errors import ServiceError

DETAILS_KEY = "grpc-status-details-bin"
DOMAIN = "antiphon"
# Peers refuse trailing metadata past 8 KiB by default, and details are encoded on the way.
MAXIMUM_VIOLATIONS = 32
MAXIMUM_TEXT = 1024


def details_of(error: ServiceError) -> bytes:
    """The serialized google.rpc.Status that travels in `grpc-status-details-bin`."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=error.reason,
            domain=DOMAIN,
            metadata={key: clip(value) for key, value in error.metadata.items()},
        )
    ]
    if error.violations:
        bad_request = error_details_pb2.BadRequest()
        for violation in error.violations[:MAXIMUM_VIOLATIONS]:
            bad_request.field_violations.add(
                field=clip(violation.field, 128), description=clip(violation.description, 256)
            )
        details.append(bad_request)
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(max(0.0, error.retry_after) * 1_000_000_000))
        details.append(retry)
    if error.quota is not None:
        quota = error_details_pb2.QuotaFailure()
        quota.violations.add(subject=error.quota.subject, description=clip(error.quota.description))
        details.append(quota)
    if error.resource is not None:
        details.append(
            error_details_pb2.ResourceInfo(
                resource_type=error.resource.type, resource_name=clip(error.resource.name)
            )
        )
    status = status_pb2.Status(code=error.code.value, message=clip(error.message))
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status.SerializeToString()


def clip(text: str, length: int = MAXIMUM_TEXT) -> str:
    """A text that fits into a trailer: cut to its length, and without lone surrogates, which can't be encoded."""
    if len(text) > length:
        text = text[: length - 1] + "…"
    return text.encode("utf-8", "replace").decode()
