"""Rows of Chat's tables as values, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from antiphon.usage.v1 import usage_pb2

from services.capabilities.metering.mapping import usage_from_proto
from services.chat.model import FinishReason, Generation, Message, Role, Session, State, ToolCall
from services.chat.stores.parts import parts_of
from services.kernel.failures import Failure


def generation(row: Sequence[Any]) -> Generation:
    """A row of statements.GENERATION."""
    usage = row[12]
    return Generation(
        generation_id=row[0],
        session_id=row[1] or "",
        message_id=row[2],
        request_id=row[3] or "",
        user_id=row[4],
        project=row[5],
        model=row[6],
        provider=row[7],
        state=State(row[8]),
        create_time=row[9],
        last_seq=row[10],
        finish_reason=FinishReason(row[11]) if row[11] else None,
        usage=None if usage is None else usage_from_proto(usage_pb2.Usage.FromString(bytes(usage))),
        reasoning=row[13],
        end_time=row[14],
        failure=failure_from_json(row[15]) if row[15] else None,
        events_pruned=row[16],
        operation=row[17],
        api_key_id=row[18],
        input_tokens_estimate=row[19],
        requested_model=row[20],
        forgotten=row[21],
    )


def session(row: Sequence[Any]) -> Session:
    """A row of statements.SESSION, and of the same columns elsewhere."""
    return Session(*row)


def turn(row: Sequence[Any]) -> Message:
    """A row of statements.HISTORY."""
    return Message(
        message_id=row[0],
        role=Role(row[1]),
        parts=parts_of(row[2], row[5]),
        tool_calls=tool_calls(row[3]),
        tool_call_id=row[4],
    )


def failure_to_json(failure: Failure) -> dict[str, Any]:
    """What the column `failure` keeps."""
    return {
        "code": failure.code,
        "reason": failure.reason,
        "message": failure.message,
        "metadata": dict(failure.metadata),
        "retry_after": failure.retry_after,
    }


def failure_from_json(value: dict[str, Any]) -> Failure:
    """The same back again."""
    return Failure(**value)


def tool_calls_to_json(calls: Iterable[ToolCall]) -> list[list[str]]:
    """What the column `tool_calls` keeps: id, name and arguments of each."""
    return [[call.tool_call_id, call.name, call.arguments] for call in calls]


def tool_calls(value: Sequence[Sequence[str]]) -> tuple[ToolCall, ...]:
    """The same back again."""
    return tuple(ToolCall(*call) for call in value)
