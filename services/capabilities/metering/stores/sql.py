"""The outbox of a service in its PostgreSQL schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.capabilities.metering.ports import Backlog, Waiting
from services.infra.postgres.binary import Kind, byteas, texts, uuids_of_texts
from services.infra.postgres.database import Database
from services.infra.postgres.prepared import PreparedStatement

_MOST_COUNTED = 100_000

_ADD = """
insert into {schema}.outbox (event_id, user_id, payload)
select * from unnest(%(event_ids)s, %(user_ids)s, %(payloads)s)
on conflict (event_id) do nothing
"""

# The lease is renewed well before its end, and not by every look: most of them find nothing, and then nothing was written.
# What was set aside is walked past, at 0.07 ms a thousand, and there is hardly ever any. An index of the rest would be paid by every event:
# measured, a sixth more for a thousand to be added, and half more to be removed.
_TAKE = """
with renewed as materialized (
    update {schema}.relay set owner_id = %(owner_id)s::uuid, until = clock_timestamp() + interval '5 seconds'
    where until < clock_timestamp()
       or (owner_id = %(owner_id)s::uuid and until < clock_timestamp() + interval '3 seconds')
    returning 1
), ours as materialized (
    select 1 from renewed
    union all
    select 1 from {schema}.relay where owner_id = %(owner_id)s::uuid and until >= clock_timestamp()
), first as (
    select event_id, payload from {schema}.outbox
    where set_aside is null and exists (select from ours)
    order by event_id limit %(limit)s
), summed as (
    select event_id, payload, sum(octet_length(payload)) over (order by event_id) as size,
           row_number() over (order by event_id) as place
    from first
)
select event_id::text, payload from summed where place = 1 or size <= %(max_bytes)s order by summed.event_id
"""

_REMOVE = "delete from {schema}.outbox where event_id = any (%(event_ids)s::uuid[])"
_SET_ASIDE = "update {schema}.outbox set set_aside = %(why)s where event_id = %(event_id)s::uuid"
_LEAVE = "update {schema}.relay set until = '-infinity' where owner_id = %(owner_id)s::uuid"

_BACKLOG = """
with aside as (
    select count(*) as events from {schema}.outbox where set_aside is not null
), kept as (
    select count(*) as events from (select event_id from {schema}.outbox order by event_id limit %(most)s) first
), oldest as (
    select created_at from {schema}.outbox where set_aside is null order by event_id limit 1
)
select greatest(kept.events - aside.events, 0),
       coalesce((select extract(epoch from clock_timestamp() - created_at) from oldest), 0)::float8, aside.events
from kept, aside
"""


class SqlOutbox:
    """Keeps the promises of `Outbox` in the tables of `metering.outbox`. Each step is one statement; times are the database's clock."""

    def __init__(self, database: Database, schema: str) -> None:
        self._database = database
        # Up to a thousand events at a time, and to dump their values would be most of the work.
        self._add = PreparedStatement(
            _ADD.format(schema=schema),
            {"event_ids": Kind.UUIDS, "user_ids": Kind.TEXTS, "payloads": Kind.BYTEAS},
        )
        self._take, self._remove, self._set_aside, self._leave, self._backlog = (
            statement.format(schema=schema).encode()
            for statement in (_TAKE, _REMOVE, _SET_ASIDE, _LEAVE, _BACKLOG)
        )

    async def add(self, events: Sequence[Waiting], user_ids: Sequence[str]) -> None:
        """See `Outbox`."""
        values = {
            "event_ids": uuids_of_texts([event.event_id for event in events]),
            "user_ids": texts(user_ids),
            "payloads": byteas([event.payload for event in events]),
        }
        await self._database.execute(self._add, values)

    async def take(self, owner_id: str, limit: int, max_bytes: int) -> Sequence[Waiting]:
        """See `Outbox`."""
        values = {"owner_id": owner_id, "limit": limit, "max_bytes": max_bytes}
        async with self._database.connection() as connection:
            cursor = await connection.execute(self._take, values, prepare=True, binary=True)
            return [Waiting(event_id, bytes(payload)) for event_id, payload in await cursor.fetchall()]

    async def remove(self, event_ids: Sequence[str]) -> None:
        """See `Outbox`."""
        # As one text: to dump a list of a thousand ids takes longer than all else here.
        await self._do(self._remove, event_ids=f"{{{','.join(event_ids)}}}")

    async def set_aside(self, event_id: str, why: str) -> None:
        """See `Outbox`."""
        await self._do(self._set_aside, event_id=event_id, why=why)

    async def leave(self, owner_id: str) -> None:
        """See `Outbox`."""
        await self._do(self._leave, owner_id=owner_id)

    async def backlog(self) -> Backlog:
        """See `Outbox`."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(self._backlog, {"most": _MOST_COUNTED})
            row = await cursor.fetchone()
        assert row is not None
        return Backlog(row[0], max(0.0, row[1]), row[2])

    async def _do(self, statement: bytes, **values: Any) -> None:
        async with self._database.connection() as connection:
            await connection.execute(statement, values)
