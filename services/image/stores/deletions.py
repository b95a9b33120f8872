"""Removes what a deleted person made from Image's tables: in small steps, each a transaction of its own, from wherever it had come to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from services.capabilities.claims.sql import SqlClaims
from services.capabilities.identity.providers.positions import SqlPosition
from services.capabilities.metering.forgetting import OutboxPeople
from services.image.stores.filing_statements import AT_WORK
from services.image.stores.statements import DELETE_OF_PERSON
from services.infra.postgres.database import Database

_RUNNING = """
select generation_id::text from image.generations where user_id = %(user_id)s and user_id <> '' and state = 'running'
"""

_ANY_IMAGES = "select exists (select from image.images where user_id = %(user_id)s and user_id <> '')"

# What stays says how much was used, of which model, and how it ended.
_FORGET_GENERATIONS = """
with ended as (
    select generation_id from image.generations
    where user_id = %(user_id)s and user_id <> '' and state <> 'running'
    order by generation_id limit 200 for update
)
update image.generations g
set user_id = '', api_key_id = '', caller = '', request_id = null,
    failure = case when failure is null then null else jsonb_build_object(
        'code', failure->'code', 'reason', failure->'reason', 'message', '', 'metadata', '{}'::jsonb, 'retry_after', null) end
from ended where g.generation_id = ended.generation_id
"""
_ANY_GENERATIONS = """
select exists (select from image.generations where user_id = %(user_id)s and user_id <> '' and state <> 'running')
"""

_STEPS = ((DELETE_OF_PERSON, _ANY_IMAGES), (_FORGET_GENERATIONS, _ANY_GENERATIONS))


class SqlDeletions(SqlPosition):
    """Keeps the promises of `Deletions` for Image.

    Images leave the index, with a removal of their objects that is to be filed; claims go. Rows of generations and events of the outbox
    stay without the person, since they say what was used.
    """

    def __init__(
        self,
        database: Database,
        cancel_soon: Callable[[str], None],
        erase: Callable[[str], Awaitable[None]],
    ) -> None:
        """`cancel_soon` ends a generation if this process makes it; other processes follow the deletion too. `erase` removes all objects
        that are kept under a person's name, and raises Unavailable when it can't."""
        super().__init__(database, "image")
        self._cancel_soon = cancel_soon
        self._erase = erase
        self._claims = SqlClaims("image")
        self._outbox = OutboxPeople(database, "image")

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
            # Its end writes an event of its own, and may leave images.
            return False
        await self._outbox.forget(user_id)
        # Whoever is at the person's history now may still add to it.
        if await self._at_work(user_id):
            return False
        await self._erase(user_id)
        return True

    async def _running(self, user_id: str) -> list[str]:
        async with self._database.connection() as connection:
            cursor = await connection.execute(_RUNNING.encode(), {"user_id": user_id})
            return [row[0] for row in await cursor.fetchall()]

    async def _at_work(self, user_id: str) -> bool:
        async with self._database.connection() as connection:
            cursor = await connection.execute(AT_WORK.encode(), {"user_id": user_id})
            row = await cursor.fetchone()
        return row is not None and bool(row[0])
