"""Usage events as the contract has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from antiphon.analytics.v1 import analytics_pb2
from antiphon.usage.v1 import usage_pb2
from google.protobuf.message import DecodeError

from services.analytics.model.events import UNITS, RecordedEvent, RejectedEvent, SubmittedEvent
from services.analytics.usecases.record_events import Recorded
from services.kernel.errors import Violation


def submitted(messages: Iterable[usage_pb2.UsageEvent]) -> Iterator[SubmittedEvent]:
    """What came, one by one as it is asked for, whatever nonsense it is."""
    for message in messages:
        yield SubmittedEvent(
            message.event_id,
            message.service_type,
            message.operation,
            message.status,
            message.error_reason,
            message.user_id,
            message.api_key_id,
            message.session_id,
            message.project,
            message.model,
            message.provider,
            message.request_id,
            _time(message.start_time) if message.HasField("start_time") else None,
            _time(message.latency) if message.HasField("latency") else None,
            _time(message.time_to_first_token) if message.HasField("time_to_first_token") else None,
            tuple([(one.unit, one.amount) for one in message.quantities]),
            message.provenance,
            message.variant,
            message.refused,
        )


def event_to_proto(event: RecordedEvent) -> usage_pb2.UsageEvent:
    """An event as it is kept; its quantities are in the order of their units."""
    series = event.series
    message = usage_pb2.UsageEvent(
        event_id=event.event_id,
        service_type=series.service_type,  # type: ignore[arg-type]
        operation=series.operation,
        status=series.status,  # type: ignore[arg-type]
        error_reason=series.error_reason,
        user_id=series.user_id,
        api_key_id=series.api_key_id,
        session_id=event.session_id,
        project=series.project,
        model=series.model,
        provider=series.provider,
        request_id=event.request_id,
        quantities=[
            usage_pb2.Quantity(unit=unit.value, amount=amount)  # type: ignore[arg-type]
            for unit, amount in zip(UNITS, event.quantities, strict=True)
            if amount
        ],
        provenance=series.provenance,  # type: ignore[arg-type]
        variant=series.variant,
        refused=series.refused,
    )
    message.start_time.FromMicroseconds(event.start_time)
    message.latency.FromMicroseconds(event.latency)
    if event.first_token >= 0:
        message.time_to_first_token.FromMicroseconds(event.first_token)
    return message


def recorded_to_proto(recorded: Recorded) -> analytics_pb2.RecordEventsResponse:
    """What became of a batch."""
    return analytics_pb2.RecordEventsResponse(
        accepted_count=recorded.accepted,
        known_count=recorded.known,
        rejected=[
            analytics_pb2.RejectedItem(
                index=one.index, event_id=one.event_id, violations=violations_to_proto(one.violations)
            )
            for one in recorded.rejected
        ],
    )


def rejected_to_proto(rejected: RejectedEvent) -> analytics_pb2.RejectedEvent:
    """A bad item; without its event where that was too large to be kept."""
    message = analytics_pb2.RejectedEvent(
        rejected_event_id=rejected.rejected_event_id,
        source=rejected.source,
        violations=violations_to_proto(rejected.violations),
        receive_count=rejected.receive_count,
    )
    message.receive_time.FromDatetime(rejected.receive_time)
    try:
        message.event.ParseFromString(rejected.payload)
    except DecodeError:
        message.ClearField("event")
    return message


def violations_to_proto(violations: Iterable[Violation]) -> list[analytics_pb2.FieldViolation]:
    """What is wrong."""
    return [analytics_pb2.FieldViolation(field=one.field, description=one.description) for one in violations]


def _time(value: Any) -> tuple[int, int]:
    return value.seconds, value.nanos
