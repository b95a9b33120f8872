"""Sessions, messages, generations and models, as the contract has them."""

from __future__ import annotations

from typing import cast

from antiphon.chat.v1 import chat_pb2
from antiphon.usage.v1 import usage_pb2

from services.capabilities.metering.mapping import quantities_to_proto, usage_to_proto
from services.capabilities.metering.model import UsageSummary
from services.chat.mapping.names import (
    capability_to_proto,
    finish_reason_to_proto,
    role_to_proto,
    state_to_proto,
)
from services.chat.model import Generation, Message, Part, Session, ToolCall
from services.chat.ports import CatalogModel


def session_to_proto(session: Session) -> chat_pb2.Session:
    """A session."""
    message = chat_pb2.Session(
        session_id=session.session_id,
        user_id=session.user_id,
        title=session.title,
        project=session.project,
        model=session.model,
        system_prompt=session.system_prompt,
        archived=session.archived,
        forked_from_session_id=session.forked_from_session_id,
    )
    message.create_time.FromDatetime(session.create_time)
    message.update_time.FromDatetime(session.update_time)
    return message


def tool_call_to_proto(call: ToolCall) -> chat_pb2.ToolCall:
    """A tool call."""
    return chat_pb2.ToolCall(tool_call_id=call.tool_call_id, name=call.name, arguments_json=call.arguments)


def _part(part: Part) -> chat_pb2.Part:
    if isinstance(part, str):
        return chat_pb2.Part(text=part)
    image = chat_pb2.Image(uri=part.uri) if part.uri else chat_pb2.Image(image_id=part.image_id)
    return chat_pb2.Part(image=image)


def message_to_proto(message: Message) -> chat_pb2.Message:
    """A message with its parts in order."""
    made = chat_pb2.Message(
        message_id=message.message_id,
        role=role_to_proto(message.role),
        parts=[_part(part) for part in message.parts],
        tool_calls=[tool_call_to_proto(call) for call in message.tool_calls],
        tool_call_id=message.tool_call_id,
        session_id=message.session_id,
        generation_id=message.generation_id,
        model=message.model,
        finish_reason=finish_reason_to_proto(message.finish_reason),
    )
    if message.create_time is not None:
        made.create_time.FromDatetime(message.create_time)
    return made


def generation_to_proto(generation: Generation) -> chat_pb2.Generation:
    """A generation, as far as it has come."""
    made = chat_pb2.Generation(
        generation_id=generation.generation_id,
        session_id=generation.session_id,
        message_id=generation.message_id,
        request_id=generation.request_id,
        project=generation.project,
        model=generation.model,
        provider=generation.provider,
        state=state_to_proto(generation.state),
        finish_reason=finish_reason_to_proto(generation.finish_reason),
        text=generation.text,
        reasoning=generation.reasoning,
        tool_calls=[tool_call_to_proto(call) for call in generation.tool_calls],
        last_seq=generation.last_seq,
        error_reason=generation.failure.reason if generation.failure else "",
        requested_model=generation.requested_model or generation.model,
    )
    if generation.usage is not None:
        made.usage.CopyFrom(usage_to_proto(generation.usage))
    made.create_time.FromDatetime(generation.create_time)
    if generation.end_time is not None:
        made.end_time.FromDatetime(generation.end_time)
    return made


def model_to_proto(model: CatalogModel) -> chat_pb2.Model:
    """An entry of the catalog."""
    return chat_pb2.Model(
        name=model.name,
        provider=model.provider_name,
        display_name=model.display_name,
        description=model.description,
        ready=model.ready,
        not_ready_reason=model.not_ready_reason,
        context_tokens=model.context_tokens,
        capabilities=sorted(capability_to_proto(capability) for capability in model.capabilities),
        fallbacks=model.fallbacks,
        prices=[
            chat_pb2.ModelPrice(unit=cast("usage_pb2.Unit", unit.value), nano_usd_per_million=price)
            for unit, price in model.prices.items()
        ],
    )


def summary_to_proto(summary: UsageSummary) -> chat_pb2.UsageSummary:
    """What some calls add up to."""
    return chat_pb2.UsageSummary(
        user_id=summary.user_id,
        model=summary.model,
        status=cast("usage_pb2.UsageStatus", summary.status.value),
        event_count=summary.event_count,
        quantities=quantities_to_proto(summary.quantities),
    )
