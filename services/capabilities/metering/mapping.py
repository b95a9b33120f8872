"""Usage as the contract has it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

from antiphon.usage.v1 import usage_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.capabilities.metering.model import Provenance, Unit, Usage, UsageEvent, UsageStatus
from services.kernel.metering import EndedCall

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def usage_to_proto(usage: Usage) -> usage_pb2.Usage:
    """The usage that a caller is told."""
    return usage_pb2.Usage(
        provenance=cast("usage_pb2.Provenance", usage.provenance.value),
        quantities=quantities_to_proto(usage.quantities),
    )


def quantities_to_proto(quantities: Mapping[Unit, int]) -> list[usage_pb2.Quantity]:
    """Amounts by their units."""
    return [
        usage_pb2.Quantity(unit=cast("usage_pb2.Unit", unit.value), amount=amount)
        for unit, amount in quantities.items()
    ]


def usage_from_proto(message: usage_pb2.Usage) -> Usage:
    """The same back again; quantities of zero vanish."""
    quantities = {
        Unit(quantity.unit): quantity.amount for quantity in message.quantities if quantity.amount > 0
    }
    return Usage(quantities, Provenance(message.provenance) if quantities else Provenance.NONE)


def event_to_proto(event: UsageEvent) -> usage_pb2.UsageEvent:
    """The event that Analytics ingests."""
    message = usage_pb2.UsageEvent(
        event_id=event.event_id,
        service_type=cast("usage_pb2.ServiceType", event.service_type.value),
        operation=event.operation,
        status=cast("usage_pb2.UsageStatus", event.status.value),
        error_reason=event.error_reason,
        user_id=event.user_id,
        api_key_id=event.api_key_id,
        session_id=event.session_id,
        project=event.project,
        model=event.model,
        provider=event.provider,
        request_id=event.request_id,
        quantities=quantities_to_proto(event.usage.quantities),
        provenance=cast("usage_pb2.Provenance", event.usage.provenance.value),
        variant=event.variant,
        refused=event.refused,
    )
    start, latency, first_token = event.start_time - _EPOCH, event.latency, event.time_to_first_token
    _set(message.start_time, start // _MICROSECOND)
    _set(message.latency, latency // _MICROSECOND)
    if first_token is not None:
        _set(message.time_to_first_token, first_token // _MICROSECOND)
    return message


def refused_to_proto(event_id: str, end_time: float, call: EndedCall) -> usage_pb2.UsageEvent:
    """The event of a call in which nothing began: it has no session, no provider and no quantities. There may be thousands a second, so no
    UsageEvent is made of it first. `end_time` is in Unix seconds."""
    status = UsageStatus.CANCELLED if call.cancelled else UsageStatus.ERROR
    message = usage_pb2.UsageEvent(
        event_id=event_id,
        service_type=cast("usage_pb2.ServiceType", call.service_type),
        operation=call.operation,
        status=cast("usage_pb2.UsageStatus", status.value),
        error_reason=call.reason,
        user_id=call.principal.user_id,
        api_key_id=call.principal.api_key_id,
        project=call.project,
        model=call.model,
        refused=True,
    )
    _set(message.start_time, round((end_time - call.seconds) * 1e6))
    _set(message.latency, round(call.seconds * 1e6))
    return message


def _set(message: Timestamp | Duration, microseconds: int) -> None:
    """What FromMicroseconds does, in a third of the time; a message of zero is not one that is absent."""
    message.SetInParent()
    message.seconds, rest = divmod(microseconds, 1_000_000)
    message.nanos = rest * 1000
