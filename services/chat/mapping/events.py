"""Events of a record, as the contract has them and as stores keep them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from io import BytesIO

from antiphon.chat.v1 import chat_pb2
from google.protobuf import proto

from services.capabilities.metering.mapping import usage_from_proto, usage_to_proto
from services.chat.mapping.names import finish_reason_from_proto, finish_reason_to_proto
from services.chat.model import Body, Event, Finished, ReasoningDelta, Started, TextDelta, ToolCallDelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def event_to_proto(event: Event) -> chat_pb2.ChatEvent:
    """The event as it is sent and recorded, without a resume token: tokens are made for whoever reads, never stored."""
    message = chat_pb2.ChatEvent(first_seq=event.first_seq, seq=event.seq)
    # What FromDatetime does, in a third of its time: this is done twice for each token.
    since = event.time - _EPOCH
    event_time = message.event_time
    event_time.seconds = since.days * 86400 + since.seconds
    event_time.nanos = since.microseconds * 1000
    body = event.body
    if isinstance(body, TextDelta):
        message.text_delta.text = body.text
    elif isinstance(body, ReasoningDelta):
        message.reasoning_delta.text = body.text
    elif isinstance(body, ToolCallDelta):
        delta = message.tool_call_delta
        delta.index = body.index
        delta.tool_call_id = body.tool_call_id
        delta.name = body.name
        delta.arguments_json = body.arguments
        delta.SetInParent()
    elif isinstance(body, Started):
        message.started.CopyFrom(
            chat_pb2.Started(
                generation_id=body.generation_id,
                session_id=body.session_id,
                message_id=body.message_id,
                model=body.model,
            )
        )
    else:
        message.finished.CopyFrom(
            chat_pb2.Finished(
                reason=finish_reason_to_proto(body.reason),
                message_id=body.message_id,
                usage=usage_to_proto(body.usage),
            )
        )
    return message


def event_from_proto(message: chat_pb2.ChatEvent) -> Event:
    """The same back again. Raises ValueError for an event that no version has recorded."""
    return Event(
        first_seq=message.first_seq,
        seq=message.seq,
        time=message.event_time.ToDatetime(tzinfo=UTC),
        body=_body(message),
    )


def _body(message: chat_pb2.ChatEvent) -> Body:
    kind = message.WhichOneof("event")
    if kind == "text_delta":
        return TextDelta(message.text_delta.text)
    if kind == "reasoning_delta":
        return ReasoningDelta(message.reasoning_delta.text)
    if kind == "tool_call_delta":
        delta = message.tool_call_delta
        return ToolCallDelta(delta.index, delta.tool_call_id, delta.name, delta.arguments_json)
    if kind == "started":
        started = message.started
        return Started(started.generation_id, started.session_id, started.message_id, started.model)
    if kind == "finished":
        reason = finish_reason_from_proto(message.finished.reason)
        if reason is None:
            raise ValueError("a finished event has a reason")
        return Finished(reason, message.finished.message_id, usage_from_proto(message.finished.usage))
    raise ValueError(f"an event of the kind {kind!r} is not known")


def events_to_bytes(events: Iterable[Event]) -> bytes:
    """Events one after the other, each with its length before it."""
    buffer = BytesIO()
    for event in events:
        proto.serialize_length_prefixed(event_to_proto(event), buffer)
    return buffer.getvalue()


def events_from_bytes(payload: bytes) -> list[Event]:
    """The same back again. Raises ValueError when they are broken."""
    buffer = BytesIO(payload)
    events = []
    while buffer.tell() < len(payload):
        events.append(event_from_proto(proto.parse_length_prefixed(chat_pb2.ChatEvent, buffer)))
    return events
