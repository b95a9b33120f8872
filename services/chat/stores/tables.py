"""The tables of sessions and messages, and their rows as values and back."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.chat.model import FinishReason, Message, Role, Session
from services.chat.stores import rows
from services.chat.stores.parts import order_of, parts_of

_METADATA = sa.MetaData(schema="chat")
_ID = sa.Uuid(as_uuid=False)
_TIME = sa.DateTime(timezone=True)

SESSIONS = sa.Table(
    "sessions",
    _METADATA,
    sa.Column("session_id", _ID, primary_key=True),
    sa.Column("user_id", sa.Text),
    sa.Column("title", sa.Text),
    sa.Column("project", sa.Text),
    sa.Column("model", sa.Text),
    sa.Column("system_prompt", sa.Text),
    sa.Column("archived", sa.Boolean),
    sa.Column("created_at", _TIME),
    sa.Column("updated_at", _TIME),
    sa.Column("forked_from_session_id", _ID),
)
MESSAGES = sa.Table(
    "messages",
    _METADATA,
    sa.Column("message_id", _ID, primary_key=True),
    sa.Column("session_id", _ID),
    sa.Column("role", sa.Text),
    sa.Column("texts", ARRAY(sa.Text)),
    sa.Column("tool_calls", JSONB),
    sa.Column("tool_call_id", sa.Text),
    sa.Column("generation_id", _ID),
    sa.Column("model", sa.Text),
    sa.Column("finish_reason", sa.Text),
    sa.Column("created_at", _TIME),
    sa.Column("parts", JSONB(none_as_null=True)),
)
GENERATIONS = sa.Table(
    "generations",
    _METADATA,
    sa.Column("generation_id", _ID, primary_key=True),
    sa.Column("user_id", sa.Text),
)

# About what an entry takes in a response, in bytes.
SESSION_SIZE = sa.func.octet_length(SESSIONS.c.system_prompt) + 1024
MESSAGE_SIZE = (
    sa.func.octet_length(sa.func.array_to_string(MESSAGES.c.texts, ""))
    + sa.func.octet_length(sa.cast(MESSAGES.c.tool_calls, sa.Text))
    + sa.func.coalesce(sa.func.octet_length(sa.cast(MESSAGES.c.parts, sa.Text)), 0)
    + 512
)


def session_of(row: Any) -> Session:
    """A row of all columns of SESSIONS."""
    return rows.session([*row[:9], row.forked_from_session_id or ""])


def session_values(session: Session) -> dict[str, Any]:
    """What SESSIONS keeps of a session."""
    return {
        "session_id": session.session_id,
        "user_id": session.user_id,
        "title": session.title,
        "project": session.project,
        "model": session.model,
        "system_prompt": session.system_prompt,
        "archived": session.archived,
        "created_at": session.create_time,
        "updated_at": session.update_time,
        "forked_from_session_id": session.forked_from_session_id or None,
    }


def message_of(row: Any) -> Message:
    """A row of all columns of MESSAGES."""
    return Message(
        message_id=row.message_id,
        role=Role(row.role),
        parts=parts_of(row.texts, row.parts),
        tool_calls=rows.tool_calls(row.tool_calls),
        tool_call_id=row.tool_call_id,
        session_id=row.session_id or "",
        generation_id=row.generation_id or "",
        model=row.model,
        finish_reason=FinishReason(row.finish_reason) if row.finish_reason else None,
        create_time=row.created_at,
    )


def message_values(message: Message) -> dict[str, Any]:
    """What MESSAGES keeps of a message of a session."""
    return {
        "message_id": message.message_id,
        "session_id": message.session_id,
        "role": message.role.value,
        "texts": list(message.texts),
        "parts": order_of(message),
        "tool_calls": rows.tool_calls_to_json(message.tool_calls),
        "tool_call_id": message.tool_call_id,
        "generation_id": message.generation_id or None,
        "model": message.model,
        "finish_reason": message.finish_reason.value if message.finish_reason else None,
        "created_at": message.create_time,
    }
