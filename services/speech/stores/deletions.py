"""Removes what a deleted person made from Speech's tables: in small steps, each a transaction of its own, from wherever it had come to."""

from __future__ import annotations

from collections.abc import Callable

from services.capabilities.claims.sql import SqlClaims
from services.capabilities.identity.providers.positions import SqlPosition
from services.capabilities.metering.forgetting import OutboxPeople
from services.infra.postgres.database import Database
from services.speech.stores.statements import DELETE_OF_PERSON

_RUNNING = """
select generation_id::text from speech.generations where user_id = %(user_id)s and user_id <> '' and state = 'running'
"""

_ANY_CONVERSIONS = """
select exists (select from speech.tts_conversions where user_id = %(user_id)s and user_id <> 'anonymous')
"""

# What stays says how much was used, of which model, and how it ended.
_FORGET_GENERATIONS = """
with ended as (
    select generation_id from speech.generations
    where user_id = %(user_id)s and user_id <> '' and state <> 'running'
    order by generation_id limit 200 for update
)
update speech.generations g
set user_id = '', api_key_id = '', caller = '', request_id = null,
    failure = case when failure is null then null else jsonb_build_object(
        'code', failure->'code', 'reason', failure->'reason', 'message', '', 'metadata', '{}'::jsonb, 'retry_after', null) end
from ended where g.generation_id = ended.generation_id
"""
_ANY_GENERATIONS = """
select exists (select from speech.generations where user_id = %(user_id)s and user_id <> '' and state <> 'running')
"""

_STEPS = ((DELETE_OF_PERSON, _ANY_CONVERSIONS), (_FORGET_GENERATIONS, _ANY_GENERATIONS))


class SqlDeletions(SqlPosition):
    """Keeps the promises of `Deletions` for Speech.

    Conversions leave the table, each with a removal of its objects, where all is that is kept of a person outside of it; claims go. Rows of
    generations and events of the outbox stay without the person, since they say what was used.
    """

    def __init__(self, database: Database, cancel_soon: Callable[[str], None]) -> None:
        """`cancel_soon` ends a generation if this process makes it; other processes follow the deletion too."""
        super().__init__(database, "speech")
        self._cancel_soon = cancel_soon
        self._claims = SqlClaims("speech")
        self._outbox = OutboxPeople(database, "speech")

    async def remove(self, user_id: str) -> bool:
        """See `Deletions`."""
        running = await self._running(user_id)
        for generation_id in running:
            self._cancel_soon(generation_id)
        for change, exists in _STEPS:
            await self._repeat(change, exists, user_id)
        async with self._database.connection() as connection:
            while await self._claims.forget(connection, user_id):
                pass
        if running:
            # Its end writes an event of its own, and may leave a conversion.
            return False
        await self._outbox.forget(user_id)
        return True

    async def _running(self, user_id: str) -> list[str]:
        async with self._database.connection() as connection:
            cursor = await connection.execute(_RUNNING.encode(), {"user_id": user_id})
            return [row[0] for row in await cursor.fetchall()]
