"""What the store of Chat holds, read past the suite."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
import pymongo
from psycopg import sql

from services.analytics.model.events import UNITS

_LATE = """
select g.generation_id::text, extract(epoch from clock_timestamp() - nullif(l.expires_at, '-infinity'))::float8
from chat.generations g left join chat.leases l using (owner_id)
where g.state = 'running' and (l.owner_id is null or l.expires_at < clock_timestamp())
"""
_GENERATIONS = """
select g.generation_id::text, g.request_id::text, g.state, g.event_id::text, g.owner_id::text,
       exists (select from chat.messages m where m.message_id = g.message_id),
       g.user_id, g.model, g.event_status::int, g.quantities
from chat.generations g
"""
_RECORDS = """
select g.generation_id::text, row_to_json(g)::text, m.texts::text,
       (select string_agg(concat(e.first_seq, '-', e.seq, ':', md5(e.payload)), ',' order by e.first_seq)
        from chat.generation_events e where e.generation_id = g.generation_id)
from chat.generations g left join chat.messages m on m.message_id = g.message_id
where g.generation_id = any(%s::uuid[])
"""

NONE_USED = (0,) * len(UNITS)


class Entry(NamedTuple):
    """A generation as stored. `answered` says whether there is an answer, in full or in part; what it used is by UNITS."""

    generation_id: str
    request_id: str
    state: str
    event_id: str | None
    owner_id: str
    answered: bool
    user_id: str
    model: str
    status: int
    quantities: tuple[int, ...]


class Waiting(NamedTuple):
    """Ids of the usage events that wait for their delivery, and of those that were set aside."""

    event_ids: frozenset[str]
    set_aside: frozenset[str]


class Ledger(Protocol):
    """What the store of Chat holds."""

    async def entries(self) -> list[Entry]:
        """All generations."""
        ...

    async def waiting(self) -> Waiting:
        """The usage events in Chat's outbox."""
        ...

    async def relayer(self) -> str:
        """The relay whose turn it is to deliver them; empty while it is nobody's."""
        ...

    async def late(self) -> Mapping[str, float]:
        """Of the generations that run under a lease that has run out: for how many seconds that has been so."""
        ...

    async def records(self, generation_ids: Collection[str]) -> Mapping[str, str]:
        """A digest of all that is stored of each of the generations."""
        ...

    async def close(self) -> None:
        """End its connections."""
        ...

    def lost_writes(self, replicas: Sequence[str], table: str) -> AbstractAsyncContextManager[None]:
        """While the block runs nothing is written into the table, where the store can be held up; with its end the replicas, which have to be dead by
        then, lose what they wanted to write meanwhile."""
        ...


class SqlLedger:
    """The store on PostgreSQL."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._unowned: dict[str, float] = {}

    async def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        cursor = await self._connection.execute(sql.SQL(statement), values or None)
        return await cursor.fetchall()

    async def entries(self) -> list[Entry]:
        """As the protocol says."""
        found = []
        for *fields, status, quantities in await self._rows(_GENERATIONS):
            used = tuple([amount or 0 for amount in quantities or NONE_USED])
            found.append(Entry._make([*fields, status or 0, used]))
        return found

    async def waiting(self) -> Waiting:
        """As the protocol says."""
        rows = await self._rows("select event_id::text, set_aside is not null from chat.outbox")
        return _waiting((event_id, aside) for event_id, aside in rows)

    async def relayer(self) -> str:
        """As the protocol says."""
        rows = await self._rows("select owner_id::text from chat.relay where until > clock_timestamp()")
        return rows[0][0] if rows else ""

    async def late(self) -> Mapping[str, float]:
        """As the protocol says; of a lease that was given up or is gone, since it was first seen so."""
        now, found = time.monotonic(), dict(await self._rows(_LATE))
        self._unowned = {
            one: self._unowned.get(one, now) for one, seconds in found.items() if seconds is None
        }
        return {
            one: now - self._unowned[one] if seconds is None else seconds for one, seconds in found.items()
        }

    async def records(self, generation_ids: Collection[str]) -> Mapping[str, str]:
        """As the protocol says."""
        rows = await self._rows(_RECORDS, list(generation_ids))
        return {row[0]: hashlib.sha256(repr(row).encode()).hexdigest() for row in rows}

    @asynccontextmanager
    async def lost_writes(self, replicas: Sequence[str], table: str) -> AsyncIterator[None]:
        """As the protocol says. The connections of a replica bear its name."""
        async with await psycopg.AsyncConnection.connect(self._url) as connection:
            await connection.execute(
                sql.SQL("lock table {} in share mode").format(sql.Identifier(*table.split(".")))
            )
            yield
            await end_connections(connection, replicas)

    async def close(self) -> None:
        """End its connection."""
        if self._connection is not None:
            await self._connection.close()


async def end_connections(connection: psycopg.AsyncConnection[Any], replicas: Sequence[str]) -> None:
    """End those of dead replicas: a statement that was sent is carried out although its sender is dead, unless its connection ends first."""
    await connection.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = any (%s)",
        (list(replicas),),
    )


def _waiting(rows: Iterable[tuple[str, bool]]) -> Waiting:
    found = list(rows)
    return Waiting(
        frozenset(event_id for event_id, aside in found if not aside),
        frozenset(event_id for event_id, aside in found if aside),
    )


def database_of_its_own(url: str) -> str:
    """The address of a new database on the same MongoDB, whatever database the address names."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query)
    if parts.username and not any(name.lower() == "authsource" for name, _ in query):
        # Without this, whoever logs in is looked up in the database that the address names.
        query.append(("authSource", parts.path.strip("/") or "admin"))
    path = f"/antiphon_survival_{secrets.token_hex(4)}"
    return urlunsplit(parts._replace(path=path, query=urlencode(query)))


class MongoLedger:
    """The store on MongoDB, in a database that is dropped at the end. A lease has run out for whoever has seen its beat unchanged for its time, as for the replicas themselves."""

    def __init__(self, url: str) -> None:
        self._client: pymongo.AsyncMongoClient[dict[str, Any]] = pymongo.AsyncMongoClient(url)
        self._database = self._client.get_default_database("antiphon")
        self._beats: dict[str, tuple[Any, float]] = {}
        self._unowned: dict[str, float] = {}

    async def entries(self) -> list[Entry]:
        """As the protocol says."""
        found = self._database.chat_generations.find()
        return [
            Entry(
                one["_id"],
                one.get("request_id") or "",
                one["state"],
                one.get("event_id"),
                one["owner_id"],
                bool(one.get("answer")),
                one["user_id"],
                one["model"],
                one.get("event_status") or 0,
                tuple(one.get("quantities", {}).get(unit.name, 0) for unit in UNITS),
            )
            async for one in found
        ]

    async def waiting(self) -> Waiting:
        """As the protocol says: a generation's usage event is in its document until it was delivered."""
        found = self._database.chat_generations.find({"unshipped": {"$exists": True}})
        rows = [(one["unshipped"], False) async for one in found]
        others = self._database.chat_outbox.find()
        rows += [(one["_id"], one.get("set_aside") is not None) async for one in others]
        return _waiting(rows)

    async def relayer(self) -> str:
        """As the protocol says."""
        found = await self._database.chat_relay.find_one({"_id": "lease"})
        return "" if found is None else str(found["owner_id"])

    async def late(self) -> Mapping[str, float]:
        """As the protocol says."""
        now = time.monotonic()
        ends: dict[str, float] = {}
        async for lease in self._database.chat_leases.find():
            seen, since = self._beats.get(lease["_id"], (None, now))
            if seen != (lease["epoch"], lease["beat"]):
                since = now
            self._beats[lease["_id"]] = ((lease["epoch"], lease["beat"]), since)
            ends[lease["_id"]] = since + float(lease["ttl"])
        late: dict[str, float] = {}
        running = [one async for one in self._database.chat_generations.find({"state": "running"})]
        unowned = {one["_id"] for one in running if one["owner_id"] not in ends}
        self._unowned = {one: self._unowned.get(one, now) for one in unowned}
        for one in running:
            end = ends.get(one["owner_id"], self._unowned.get(one["_id"], now))
            if end < now:
                late[one["_id"]] = now - end
        return late

    async def records(self, generation_ids: Collection[str]) -> Mapping[str, str]:
        """As the protocol says; what says only how far the projections and the deliveries are is left out."""
        found: dict[str, str] = {}
        async for one in self._database.chat_generations.find({"_id": {"$in": list(generation_ids)}}):
            rows = self._database.chat_events.find({"_id.g": one["_id"]}).sort("_id.s", 1)
            events = [event async for event in rows]
            for name in ("unprojected", "unshipped", "usage_event"):
                one.pop(name, None)
            text = repr((sorted(one.items()), events))
            found[one["_id"]] = hashlib.sha256(text.encode()).hexdigest()
        return found

    @asynccontextmanager
    async def lost_writes(self, replicas: Sequence[str], table: str) -> AsyncIterator[None]:
        """As the protocol says: it can't be held up."""
        yield

    async def close(self) -> None:
        """Drop the database, and end the connections."""
        await self._client.drop_database(self._database.name)
        await self._client.close()
