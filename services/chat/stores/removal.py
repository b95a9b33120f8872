"""Removes a session with all that was said in it."""

from __future__ import annotations

from collections.abc import Sequence

from services.chat.stores.statements import FAILURE_WITHOUT_CONTENT
from services.infra.postgres.database import Connection

# The end of a generation locks its row, and then its session's: in this order nobody waits for one another.
_LOCK_GENERATIONS = """
select 1 from chat.generations g join chat.sessions s on s.session_id = g.session_id
where g.session_id = %(session_id)s and s.user_id = %(user_id)s order by g.generation_id for update of g
"""

# Its messages go with it.
_DELETE = "delete from chat.sessions where session_id = %(session_id)s and user_id = %(user_id)s"

# Whose they were stays, and so does their session's id, by which they are known to be of a session that is gone. Events that are written
# after this are removed by the end of their generation, as statements.FINISH has it.
_FORGET = f"""
with theirs as (
    update chat.generations
    set cancel_requested = cancel_requested or state = 'running', events_pruned = true, reasoning = '',
        failure = {FAILURE_WITHOUT_CONTENT.format("failure")}
    where session_id = %(session_id)s
    returning generation_id, state
), events as (
    delete from chat.generation_events e using theirs where e.generation_id = theirs.generation_id
)
select generation_id::text from theirs where state = 'running'
"""


async def remove(connection: Connection, session_id: str, user_id: str) -> Sequence[str] | None:
    """Remove a person's session, and return the ids of the generations that run in it; None when there is none. Wants a transaction."""
    values = {"session_id": session_id, "user_id": user_id}
    await connection.execute(_LOCK_GENERATIONS.encode(), values)
    deleted = await connection.execute(_DELETE.encode(), values)
    if not deleted.rowcount:
        return None
    cursor = await connection.execute(_FORGET.encode(), values)
    return [row[0] for row in await cursor.fetchall()]
