"""Enumerations of the contract and of the model, side by side."""

from __future__ import annotations

from antiphon.chat.v1 import chat_pb2

from services.chat.model import Capability, FinishReason, OnDisconnect, Role, State

_FINISH_REASONS = {
    FinishReason.STOP: chat_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: chat_pb2.FINISH_REASON_LENGTH,
    FinishReason.TOOL_CALLS: chat_pb2.FINISH_REASON_TOOL_CALLS,
    FinishReason.CONTENT_FILTER: chat_pb2.FINISH_REASON_CONTENT_FILTER,
    FinishReason.CANCELLED: chat_pb2.FINISH_REASON_CANCELLED,
}
_FINISH_REASONS_BACK = {value: reason for reason, value in _FINISH_REASONS.items()}

_ROLES = {
    Role.SYSTEM: chat_pb2.MESSAGE_ROLE_SYSTEM,
    Role.USER: chat_pb2.MESSAGE_ROLE_USER,
    Role.ASSISTANT: chat_pb2.MESSAGE_ROLE_ASSISTANT,
    Role.TOOL: chat_pb2.MESSAGE_ROLE_TOOL,
}
_ROLES_BACK = {value: role for role, value in _ROLES.items()}

_STATES = {
    State.RUNNING: chat_pb2.GENERATION_STATE_RUNNING,
    State.COMPLETED: chat_pb2.GENERATION_STATE_COMPLETED,
    State.CANCELLED: chat_pb2.GENERATION_STATE_CANCELLED,
    State.FAILED: chat_pb2.GENERATION_STATE_FAILED,
    State.INTERRUPTED: chat_pb2.GENERATION_STATE_INTERRUPTED,
}

_CAPABILITIES = {
    Capability.TOOLS: chat_pb2.CAPABILITY_TOOLS,
    Capability.JSON_SCHEMA: chat_pb2.CAPABILITY_JSON_SCHEMA,
    Capability.VISION: chat_pb2.CAPABILITY_VISION,
    Capability.REASONING: chat_pb2.CAPABILITY_REASONING,
}

_ON_DISCONNECT_BACK = {
    chat_pb2.ON_DISCONNECT_STOP: OnDisconnect.STOP,
    chat_pb2.ON_DISCONNECT_CONTINUE: OnDisconnect.CONTINUE,
}


def finish_reason_to_proto(reason: FinishReason | None) -> chat_pb2.FinishReason:
    """None becomes UNSPECIFIED."""
    return chat_pb2.FINISH_REASON_UNSPECIFIED if reason is None else _FINISH_REASONS[reason]


def finish_reason_from_proto(value: chat_pb2.FinishReason) -> FinishReason | None:
    """UNSPECIFIED becomes None."""
    return _FINISH_REASONS_BACK.get(value)


def role_to_proto(role: Role) -> chat_pb2.MessageRole:
    """The contract's value."""
    return _ROLES[role]


def role_from_proto(value: chat_pb2.MessageRole) -> Role:
    """The model's value; the contract's rules keep others out."""
    return _ROLES_BACK[value]


def state_to_proto(state: State) -> chat_pb2.GenerationState:
    """The contract's value."""
    return _STATES[state]


def capability_to_proto(capability: Capability) -> chat_pb2.Capability:
    """The contract's value."""
    return _CAPABILITIES[capability]


def on_disconnect_from_proto(value: chat_pb2.OnDisconnect) -> OnDisconnect | None:
    """UNSPECIFIED becomes None: it depends on the caller."""
    return _ON_DISCONNECT_BACK.get(value)
