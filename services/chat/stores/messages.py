"""Single messages: added without an answer, and found by their ids."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chat.model import Message, Role, title_of
from services.chat.stores.tables import GENERATIONS, MESSAGES, SESSIONS, message_of, message_values


async def add(connection: AsyncConnection, message: Message, user_id: str) -> bool:
    """Store a message, and that its session has changed. False when the person has no such session."""
    title = title_of(message.text) if message.role is Role.USER else ""
    touched = await connection.execute(
        sa.update(SESSIONS)
        .where(SESSIONS.c.session_id == message.session_id, SESSIONS.c.user_id == user_id)
        .values(
            updated_at=sa.func.greatest(SESSIONS.c.updated_at, message.create_time),
            title=sa.case((SESSIONS.c.title == "", title), else_=SESSIONS.c.title),
        )
    )
    if not touched.rowcount:
        return False
    await connection.execute(sa.insert(MESSAGES).values(message_values(message)))
    return True


async def find(connection: AsyncConnection, message_id: str, user_id: str) -> Message | None:
    """A message of a person's session, or the answer to a call of the person without one."""
    of_session = sa.exists().where(
        SESSIONS.c.session_id == MESSAGES.c.session_id, SESSIONS.c.user_id == user_id
    )
    of_call = sa.and_(
        MESSAGES.c.session_id.is_(None),
        sa.exists().where(
            GENERATIONS.c.generation_id == MESSAGES.c.generation_id, GENERATIONS.c.user_id == user_id
        ),
    )
    query = sa.select(MESSAGES).where(MESSAGES.c.message_id == message_id, sa.or_(of_session, of_call))
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else message_of(row)
