"""Analytics in another process, as a sink of usage events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import grpc
from antiphon.analytics.v1 import analytics_pb2, analytics_pb2_grpc
from antiphon.usage.v1 import usage_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from services.capabilities.metering.ports import Delivered
from services.kernel.errors import (
    DeadlineExceeded,
    InvalidArgument,
    ResourceExhausted,
    ServiceError,
    Unavailable,
)

DELIVERY_SECONDS = 10.0
_DETAILS_KEY = "grpc-status-details-bin"

_UNLIKE_EVENTS = {
    grpc.StatusCode.UNAUTHENTICATED: "it refuses this process's service token: the deployment secrets differ (ANTIPHON_SECRET_KEY), or the"
    " clocks of the two machines do",
    grpc.StatusCode.PERMISSION_DENIED: "it takes this process for no service of its deployment",
    grpc.StatusCode.UNIMPLEMENTED: "what answers at its address is no Analytics",
    grpc.StatusCode.CANCELLED: "it has broken the call off",
}
"""Failures that say nothing about the events: a peer that is set wrong is one that is away, until somebody sets it right."""


class Credentials(Protocol):
    """What a service shows to another one."""

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata of a call."""
        ...


class SinkByRpc:
    """`ports.Sink` by RecordEvents."""

    def __init__(
        self,
        stub: analytics_pb2_grpc.AnalyticsServiceAsyncStub,
        tokens: Credentials,
        *,
        delivery_seconds: float = DELIVERY_SECONDS,
    ) -> None:
        self._stub = stub
        self._tokens = tokens
        self._delivery_seconds = delivery_seconds

    async def record(self, payloads: Sequence[bytes]) -> Delivered:
        """See `ports.Sink`."""
        try:
            events = [usage_pb2.UsageEvent.FromString(payload) for payload in payloads]
        except DecodeError:
            raise InvalidArgument("these bytes are no usage event") from None
        try:
            response = await self._stub.RecordEvents(
                analytics_pb2.RecordEventsRequest(events=events),
                metadata=self._tokens.metadata(),
                timeout=self._delivery_seconds,
            )
        except grpc.aio.AioRpcError as error:
            raise failure_of(error) from error
        return Delivered(response.accepted_count, response.known_count, len(response.rejected))


def failure_of(error: grpc.aio.AioRpcError) -> ServiceError:
    """The failure as the port has it; of a kind of its own when it may be the events that Analytics fails on."""
    code = error.code()
    reason, retry_after = _told(error)
    text = f"Analytics: {error.details() or code.name}"
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidArgument(text)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded("Analytics has not answered in time")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return ResourceExhausted(text, reason=reason, retry_after=retry_after)
    if code is grpc.StatusCode.UNAVAILABLE:
        return Unavailable(text) if retry_after is None else Unavailable(text, retry_after=retry_after)
    if code in _UNLIKE_EVENTS:
        return Unavailable(f"Analytics can't be told: {_UNLIKE_EVENTS[code]}")
    return ServiceError(text)


def _told(error: grpc.aio.AioRpcError) -> tuple[str | None, float | None]:
    """The reason of a failure, and after how many seconds to try again, as far as its details say."""
    reason, retry_after = None, None
    for key, value in error.trailing_metadata() or ():
        if key != _DETAILS_KEY or not isinstance(value, bytes):
            continue
        try:
            details = status_pb2.Status.FromString(value).details
        except DecodeError:
            continue
        for detail in details:
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                reason = info.reason
            elif detail.Unpack(retry):
                retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    return reason, retry_after
