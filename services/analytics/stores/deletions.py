"""Takes deleted people out of Analytics' tables. What was used stays, and is nobody's."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.analytics.stores.layout import CALLER_TABLES, FOLD_LOCK
from services.analytics.stores.people import digest_of
from services.analytics.stores.rejected import SqlRejectedEvents
from services.capabilities.identity.providers.positions import SqlPosition
from services.infra.postgres.database import Database

_STEP = 1000

# Their series keep their numbers, so no figure changes; digests of no person's keep them from being found for anybody else. Which ones they
# were is remembered until nothing of the person can come in any more.
_FORGET = """
with theirs as (
    update analytics.series
    set user_id = '', api_key_id = '', forgotten = true, digest = uuid_send(gen_random_uuid())
    where series_id = any (array(
        select series_id from analytics.series where user_id = %(user_id)s and user_id <> '' order by series_id for no key update
    ))
    returning series_id
)
insert into analytics.forgotten as f (user_digest, series_ids)
select %(user_digest)s, coalesce(array_agg(series_id), '{}') from theirs
on conflict (user_digest) do update set series_ids = f.series_ids || excluded.series_ids
returning series_ids
"""
# Their calls were nobody's all along.
_MOVE = """
with theirs as (
    delete from analytics.{table} where user_id = %(user_id)s and user_id <> '' returning interval_start, service_type, events
)
insert into analytics.{table} as c (interval_start, service_type, user_id, events)
select interval_start, service_type, '', events from theirs
on conflict (interval_start, service_type, user_id) do update set events = c.events + excluded.events
"""
_CLEAR = f"""
with next as (
    select event_id from analytics.events
    where series_id = %(series_id)s and event_id > %(after)s and (session_id <> '' or request_id <> '')
    order by event_id limit {_STEP}
), cleared as (
    update analytics.events e set session_id = '', request_id = '' from next where e.event_id = next.event_id
)
select max(event_id::text) from next
"""


class SqlAnalyticsDeletions(SqlPosition):
    """Keeps the promises of `Deletions` for Analytics."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "analytics")
        self._rejected = SqlRejectedEvents(database)

    async def remove(self, user_id: str) -> bool:
        """See `Deletions`."""
        if not user_id:
            return True
        values = {"user_id": user_id, "user_digest": digest_of(user_id)}
        async with self._database.transaction() as connection:
            # A fold looks up whose the calls are, and so does whoever asks for both: so both change at once, and not while it is at it.
            await connection.execute("select pg_advisory_xact_lock(%s, 0)", (FOLD_LOCK,))
            row = await (await connection.execute(_FORGET, values)).fetchone()
            for table in CALLER_TABLES.values():
                await connection.execute(_MOVE.format(table=table).encode(), values)
        await self._clear(row[0] if row else ())
        await self._rejected.forget_person(user_id)
        return True

    async def _clear(self, series_ids: Sequence[int]) -> None:
        """Take what leads to the person out of their events, in small steps."""
        for series_id in series_ids:
            after: str | None = str(UUID(int=0))
            while after is not None:
                values = {"series_id": series_id, "after": after}
                async with self._database.connection() as connection:
                    row = await (await connection.execute(_CLEAR.encode(), values)).fetchone()
                after = row[0] if row else None
