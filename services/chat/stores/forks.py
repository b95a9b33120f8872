"""Copies a session up to a message."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.chat.model import Session
from services.chat.stores.tables import SESSIONS, session_values
from services.kernel.ids import stamp_of

# The copies get UUIDv7s of the last moments before the new session's own, a stamp for each, so that their order is kept and whatever is
# said next comes after them. They are made where they are stored: however long the session is, nothing of it travels.
_COPY = sa.text("""
insert into chat.messages (message_id, session_id, role, texts, parts, tool_calls, tool_call_id, generation_id, model, finish_reason, created_at)
select (lpad(to_hex(stamp >> 12), 12, '0') || '7' || lpad(to_hex(stamp & 4095), 3, '0')
        || right(replace(gen_random_uuid()::text, '-', ''), 16))::uuid,
       cast(:session_id as uuid), role, texts, parts, tool_calls, tool_call_id, generation_id, model, finish_reason, created_at
from (
    select m.*, cast(:stamp as bigint) - row_number() over (order by m.message_id desc) as stamp
    from chat.messages m
    where m.session_id = cast(:source as uuid) and m.message_id <= cast(:message_id as uuid)
      and exists (select from chat.sessions s join chat.messages last on last.session_id = s.session_id
                  where s.session_id = cast(:source as uuid) and s.user_id = :user_id
                    and last.message_id = cast(:message_id as uuid))
) copied
""")


async def fork(connection: AsyncConnection, session: Session, message_id: str) -> bool:
    """Store a session with its copies. False when there is nothing to copy: the transaction is not to be committed then."""
    await connection.execute(sa.insert(SESSIONS).values(session_values(session)))
    copied = await connection.execute(
        _COPY,
        {
            "session_id": session.session_id,
            "source": session.forked_from_session_id,
            "message_id": message_id,
            "user_id": session.user_id,
            "stamp": stamp_of(session.session_id),
        },
    )
    return bool(copied.rowcount)
