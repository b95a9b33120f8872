"""Removes what a deleted person made from Chat's tables: in small steps, each a transaction of its own, from wherever it had come to."""

from __future__ import annotations

from collections.abc import Callable

from services.capabilities.claims.sql import SqlClaims
from services.capabilities.identity.providers.positions import SqlPosition
from services.capabilities.metering.forgetting import OutboxPeople
from services.chat.stores.statements import FAILURE_WITHOUT_CONTENT
from services.infra.postgres.database import Database

# A generation that runs is its owner's: it is asked to end, and its row is touched by nobody else.
_CANCEL = """
update chat.generations set cancel_requested = true
where user_id = %(user_id)s and user_id <> '' and state = 'running'
returning generation_id::text
"""

# What is emptied says who it was; what stays says how much was used, of which model, and how it ended.
_FORGET_GENERATIONS = f"""
with ended as (
    select generation_id, message_id from chat.generations
    where user_id = %(user_id)s and user_id <> '' and state <> 'running'
    order by generation_id limit 200 for update
), events as (
    delete from chat.generation_events e using ended where e.generation_id = ended.generation_id
), answers as (
    delete from chat.messages m using ended where m.message_id = ended.message_id
)
update chat.generations g
set user_id = '', caller = '', request_id = null, api_key_id = '', session_id = null, reasoning = '', events_pruned = true,
    failure = {FAILURE_WITHOUT_CONTENT.format("failure")}
from ended where g.generation_id = ended.generation_id
"""
_ANY_GENERATIONS = """
select exists (select from chat.generations where user_id = %(user_id)s and user_id <> '' and state <> 'running')
"""

_DELETE_MESSAGES = """
delete from chat.messages where message_id in (
    select m.message_id from chat.sessions s join chat.messages m on m.session_id = s.session_id
    where s.user_id = %(user_id)s order by m.message_id limit 500 for update of m
)
"""
_ANY_MESSAGES = """
select exists (select from chat.sessions s join chat.messages m on m.session_id = s.session_id where s.user_id = %(user_id)s)
"""

_DELETE_SESSIONS = """
delete from chat.sessions where session_id in (
    select session_id from chat.sessions where user_id = %(user_id)s order by session_id limit 200 for update
)
"""
_ANY_SESSIONS = "select exists (select from chat.sessions where user_id = %(user_id)s)"

_STEPS = (
    (_DELETE_MESSAGES, _ANY_MESSAGES),
    (_DELETE_SESSIONS, _ANY_SESSIONS),
    (_FORGET_GENERATIONS, _ANY_GENERATIONS),
)


class SqlDeletions(SqlPosition):
    """Keeps the promises of `Deletions` for Chat.

    Sessions, messages, events and claims go. Rows of generations and events of the outbox stay without the person, since they
    say what was used.
    """

    def __init__(self, database: Database, cancel_soon: Callable[[str], None]) -> None:
        """`cancel_soon` ends a generation if this process makes it; others are asked by their rows."""
        super().__init__(database, "chat")
        self._cancel_soon = cancel_soon
        self._claims = SqlClaims("chat")
        self._outbox = OutboxPeople(database, "chat")

    async def remove(self, user_id: str) -> bool:
        """See `Deletions`."""
        running = await self._cancel(user_id)
        for delete, exists in _STEPS:
            await self._repeat(delete, exists, user_id)
        async with self._database.connection() as connection:
            while await self._claims.forget(connection, user_id):
                pass
        if running:
            # Its end writes an event of its own.
            return False
        await self._outbox.forget(user_id)
        return True

    async def _cancel(self, user_id: str) -> list[str]:
        async with self._database.connection() as connection:
            cursor = await connection.execute(_CANCEL.encode(), {"user_id": user_id})
            running = [row[0] for row in await cursor.fetchall()]
        for generation_id in running:
            self._cancel_soon(generation_id)
        return running
