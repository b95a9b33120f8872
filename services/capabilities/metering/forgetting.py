"""Usage without the person: what waits in an outbox loses whoever is deleted, and stays."""

from __future__ import annotations

from uuid import UUID

from antiphon.usage.v1 import usage_pb2

from services.infra.postgres.database import Database

_PAGE = 2000
_BEFORE_ALL = UUID(int=0)


def without_person(payload: bytes) -> bytes:
    """The event with nothing in it that leads to a person: no user, key, session or request."""
    event = usage_pb2.UsageEvent.FromString(payload)
    for name in ("user_id", "api_key_id", "session_id", "request_id"):
        event.ClearField(name)
    return event.SerializeToString(deterministic=True)


class OutboxPeople:
    """The people in `<schema>.outbox`. It has no column for them, since its rows leave it soon and in one direction: it is read from end
    to end instead, a page at a time."""

    def __init__(self, database: Database, schema: str) -> None:
        self._database = database
        self._find = f"""
            with page as materialized (
                select event_id, payload from {schema}.outbox where event_id > %(after)s
                order by event_id limit {_PAGE}
            )
            select array(select event_id from page where position(%(user)s::bytea in payload) > 0),
                   (select event_id from page order by event_id desc limit 1)
        """.encode()
        self._lock = f"select event_id, payload from {schema}.outbox where event_id = any(%s) order by event_id for update".encode()
        self._replace = f"update {schema}.outbox set payload = %s where event_id = %s".encode()

    async def forget(self, user_id: str) -> None:
        """Rewrite the events of a person. Raises Unavailable; repeating it is safe."""
        after: UUID | None = _BEFORE_ALL
        while after is not None:
            async with self._database.connection() as connection:
                cursor = await connection.execute(self._find, {"after": after, "user": user_id.encode()})
                row = await cursor.fetchone()
            assert row is not None
            found, after = row
            if found:
                await self._rewrite(found, user_id)

    async def _rewrite(self, event_ids: list[UUID], user_id: str) -> None:
        async with self._database.transaction() as connection:
            cursor = await connection.execute(self._lock, (event_ids,))
            changes = [
                (without_person(payload), event_id)
                for event_id, payload in await cursor.fetchall()
                if usage_pb2.UsageEvent.FromString(payload).user_id == user_id
            ]
            await cursor.executemany(self._replace, changes)
