"""Who watches, in a table, and growth, by NOTIFY."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import aclosing
from datetime import timedelta

from services.infra.postgres.database import Database
from services.kernel.errors import Unavailable

# In the order of ids, so that two of these wait for one another and never in a ring. What a dead process left is cleared by the others.
_WATCH = """
with gone as (
    delete from chat.watches where (generation_id, watcher_id) in (
        select generation_id, watcher_id from chat.watches
        where expires_at < clock_timestamp() - interval '1 minute' and watcher_id <> %(watcher_id)s::uuid
        limit 1000 for update skip locked
    )
)
insert into chat.watches (generation_id, watcher_id, expires_at)
select generation_id, %(watcher_id)s::uuid, clock_timestamp() + %(ttl)s
from unnest(%(generation_ids)s::uuid[]) generation_id order by generation_id
on conflict (generation_id, watcher_id) do update set expires_at = excluded.expires_at
"""

_UNWATCH = """
delete from chat.watches where generation_id = %(generation_id)s and watcher_id = %(watcher_id)s
"""

_WATCHED = """
select distinct generation_id::text from chat.watches
where generation_id = any(%(generation_ids)s::uuid[]) and expires_at > clock_timestamp()
"""

# An announcement that a crash swallows was of no use to anybody, so nobody waits for the disk.
_ANNOUNCE = """
select set_config('synchronous_commit', 'off', true), pg_notify('chat_tail', payload)
from unnest(%(payloads)s::text[]) payload
"""

# A payload has to stay below 8,000 bytes, and an id with what parts it from the next takes 37.
_IDS_IN_ONE = 200


class SqlTails:
    """Keeps Tails' promises on PostgreSQL. Times are the database's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def watch(self, watcher_id: str, generation_ids: Collection[str], ttl: timedelta) -> None:
        """As the port says."""
        values = {"watcher_id": watcher_id, "generation_ids": list(generation_ids), "ttl": ttl}
        async with self._database.connection() as connection:
            await connection.execute(_WATCH.encode(), values)

    async def unwatch(self, watcher_id: str, generation_id: str) -> None:
        """As the port says."""
        values = {"watcher_id": watcher_id, "generation_id": generation_id}
        async with self._database.connection() as connection:
            await connection.execute(_UNWATCH.encode(), values)

    async def watched(self, generation_ids: Collection[str]) -> frozenset[str]:
        """As the port says."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(_WATCHED.encode(), {"generation_ids": list(generation_ids)})
            return frozenset([row[0] for row in await cursor.fetchall()])

    async def announce(self, generation_ids: Collection[str]) -> None:
        """As the port says; all of them at once."""
        async with self._database.connection() as connection:
            await connection.execute(_ANNOUNCE.encode(), {"payloads": list(_payloads(generation_ids))})

    async def growth(self) -> AsyncIterator[str]:
        """As the port says, on a connection of its own."""
        async with self._database.direct() as connection:
            await connection.execute("listen chat_tail")
            async with aclosing(connection.notifies()) as notifies:
                async for notify in notifies:
                    for generation_id in notify.payload.split():
                        yield generation_id
        raise Unavailable("the database announces no more")


def _payloads(generation_ids: Collection[str]) -> Iterator[str]:
    ids = list(generation_ids)
    for first in range(0, len(ids), _IDS_IN_ONE):
        yield " ".join(ids[first : first + _IDS_IN_ONE])
