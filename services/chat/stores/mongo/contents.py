"""Sessions and messages as documents, and back. Times are whole microseconds since 1970, since a date of MongoDB has milliseconds only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from services.chat.model import FinishReason, Message, Role, Session, ToolCall
from services.chat.stores.parts import order_of, parts_of
from services.chat.words import words_in

_MOST_WORDS = 4_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Document = dict[str, Any]


def session_document(session: Session) -> Document:
    """What `chat_sessions` keeps of a session."""
    return {
        "_id": session.session_id,
        "user_id": session.user_id,
        "title": session.title,
        "project": session.project,
        "model": session.model,
        "system_prompt": session.system_prompt,
        "archived": session.archived,
        "created_at": to_micros(session.create_time),
        "updated_at": to_micros(session.update_time),
        "forked_from_session_id": session.forked_from_session_id,
        "size": session_size(session.system_prompt),
    }


def session_size(system_prompt: str) -> int:
    """Bytes that a session takes in a response, with some to spare."""
    return len(system_prompt.encode()) + 1024


def session_of(document: Mapping[str, Any]) -> Session:
    """The same back again."""
    return Session(
        session_id=document["_id"],
        user_id=document["user_id"],
        title=document["title"],
        project=document["project"],
        model=document["model"],
        system_prompt=document["system_prompt"],
        archived=document["archived"],
        create_time=from_micros(document["created_at"]),
        update_time=from_micros(document["updated_at"]),
        forked_from_session_id=document["forked_from_session_id"],
    )


def message_document(message: Message, session_id: str, user_id: str, create_time: datetime) -> Document:
    """What `chat_messages` keeps of a message; `session_id` is empty for the answer to a call without one."""
    size = len(message.text.encode())
    size += sum(len(call.name.encode()) + len(call.arguments.encode()) + 64 for call in message.tool_calls)
    size += sum(len(image.uri) + 64 for image in message.images)
    order = order_of(message)
    return {
        "_id": message.message_id,
        "session_id": session_id,
        "user_id": user_id,
        "role": message.role.value,
        "texts": list(message.texts),
        **({} if order is None else {"parts": order}),
        "tool_calls": [[call.tool_call_id, call.name, call.arguments] for call in message.tool_calls],
        "tool_call_id": message.tool_call_id,
        "generation_id": message.generation_id,
        "model": message.model,
        "finish_reason": message.finish_reason.value if message.finish_reason else "",
        "created_at": to_micros(create_time),
        "words": words_of(message),
        "size": size + 512,
    }


def message_of(document: Mapping[str, Any]) -> Message:
    """The same back again."""
    return Message(
        message_id=document["_id"],
        role=Role(document["role"]),
        parts=parts_of(document["texts"], document.get("parts")),
        tool_calls=tuple(ToolCall(*call) for call in document["tool_calls"]),
        tool_call_id=document["tool_call_id"],
        session_id=document["session_id"],
        generation_id=document["generation_id"],
        model=document["model"],
        finish_reason=FinishReason(document["finish_reason"]) if document["finish_reason"] else None,
        create_time=from_micros(document["created_at"]),
    )


def words_of(message: Message) -> list[str]:
    """What a message is found by: the different words of its text, as many as are bearable in an index, or nothing for a message of none."""
    found: dict[str, None] = {}
    for word in words_in(" ".join(message.texts)):
        found[word] = None
        if len(found) >= _MOST_WORDS:
            break
    return list(found)


def to_micros(moment: datetime) -> int:
    """A moment as documents keep it."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The same back again."""
    return _EPOCH + micros * _MICROSECOND
