"""Records of generations in PostgreSQL, by psycopg directly: this is the whole path of a chat call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import errors as pg

from services.capabilities.claims.sql import SqlClaims
from services.capabilities.metering.model import Redelivered, Unit, UsageEvent, UsageStatus, UsageSummary
from services.chat.generation.merging import assembled
from services.chat.mapping.events import joined_from_bytes
from services.chat.model import Ending, Event, Generation, Lease, Message, NewGeneration, Session, State
from services.chat.ports import Flush, LeaseLost, Renewal
from services.chat.stores import rows, statements
from services.chat.stores.redelivering import pending, redelivered
from services.chat.stores.values import (
    BEGIN,
    FINISH,
    HISTORY_BYTES,
    append_values,
    begin_values,
    finish_values,
    has_begun,
    has_finished,
    lease_values,
)
from services.infra.postgres.database import Connection, Database
from services.kernel.errors import AlreadyExists, NotFound, Unavailable
from services.kernel.ids import first_id_at

_ALL_ROWS = 1_000_000


class SqlRecordStore:
    """Keeps RecordStore's promises on PostgreSQL. Times are the database's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._claims = SqlClaims("chat")
        self._append = database.dedicated(statements.APPEND, statements.APPEND_SETTINGS)

    async def _one(self, statement: str, values: dict[str, Any]) -> tuple[Any, ...] | None:
        async with self._database.connection() as connection:
            cursor = await connection.execute(statement.encode(), values, prepare=True)
            return await cursor.fetchone()

    async def _all(self, statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        async with self._database.connection() as connection:
            cursor = await connection.execute(statement.encode(), values, prepare=True)
            return await cursor.fetchall()

    async def _do(self, statement: str, values: dict[str, Any]) -> int:
        async with self._database.connection() as connection:
            cursor = await connection.execute(statement.encode(), values)
            return cursor.rowcount

    # -- leases

    async def acquire(self, owner_id: str, ttl: timedelta) -> Lease:
        """As the port says."""
        row = await self._one(statements.ACQUIRE, {"owner_id": owner_id, "ttl": ttl})
        assert row is not None
        lease = Lease(owner_id, row[0])
        # Nothing is written by this, but for the first token all is prepared.
        await self.append(lease, ())
        return lease

    async def renew(self, lease: Lease, ttl: timedelta) -> Renewal | None:
        """As the port says."""
        row = await self._one(statements.RENEW, {**lease_values(lease), "ttl": ttl})
        return None if row is None else Renewal(frozenset(row[0]), frozenset(row[1]))

    async def running(self, lease: Lease) -> Sequence[str]:
        """As the port says."""
        return [row[0] for row in await self._all(statements.RUNNING, lease_values(lease))]

    async def release(self, lease: Lease) -> None:
        """As the port says."""
        await self._do(statements.RELEASE, lease_values(lease))

    async def take_over(self, mine: Lease, *, sole_owner: bool, limit: int) -> Sequence[str]:
        """As the port says."""
        await self._do(statements.FENCE, {**lease_values(mine), "sole_owner": sole_owner})
        return [row[0] for row in await self._all(statements.ADOPT, {**lease_values(mine), "limit": limit})]

    # -- writing

    async def begin(self, lease: Lease, new: NewGeneration) -> str | None:
        """As the port says; NotFound when the session was deleted meanwhile."""
        try:
            (row,) = await self._database.execute(BEGIN, begin_values(lease, new))
        except pg.ForeignKeyViolation:
            raise NotFound.of("chat.session", new.generation.session_id) from None
        except pg.UniqueViolation:
            # Only a repetition of this very step, after an attempt whose fate was not known, meets its own rows.
            return None
        leased, begun = has_begun(row)
        if begun:
            return None
        if not leased:
            raise LeaseLost
        earlier = await self.claimed(new.caller, new.generation.request_id, new.digest)
        if earlier is None:
            # The holder freed it between the two statements.
            raise Unavailable(
                "the first call with this request_id has just failed; try again", retry_after=0.1
            )
        return None if earlier == new.generation.generation_id else earlier

    async def claimed(self, caller: str, request_id: str, digest: bytes) -> str | None:
        """As the port says."""
        row = await self._one(statements.CLAIMED, {"caller": caller, "request_id": request_id})
        if row is None:
            return None
        if bytes(row[1]) != digest:
            raise AlreadyExists(
                "this request_id was used before with another body; make a new one for a new request",
                reason="REQUEST_ID_REUSED",
                metadata={"request_id": request_id},
            )
        return str(row[0])

    async def append(self, lease: Lease, flushes: Sequence[Flush]) -> set[str]:
        """As the port says."""
        accepted = await self._append.execute(append_values(lease, flushes))
        return {str(UUID(bytes=generation_id)) for (generation_id,) in accepted}

    async def finish(
        self, lease: Lease, generation: Generation, ending: Ending, usage_event: UsageEvent | None
    ) -> bool:
        """As the port says."""
        values = finish_values(lease, generation, ending, usage_event)
        try:
            (row,) = await self._database.execute(FINISH, values)
        except pg.ForeignKeyViolation:
            # The session was deleted while this ran; now that it is gone, the end is stored without a message.
            (row,) = await self._database.execute(FINISH, values)
        if has_finished(row):
            return True
        stored = await self.generation(generation.generation_id)
        return (
            stored is not None
            and stored.state is ending.state
            and stored.last_seq == ending.last_seq
            and stored.end_time == ending.end_time
        )

    async def request_cancel(self, generation_id: str) -> None:
        """As the port says."""
        await self._do(statements.REQUEST_CANCEL, {"generation_id": generation_id})

    async def prune(self, older_than: timedelta, limit: int) -> int:
        """As the port says."""
        return await self._do(statements.PRUNE, {"older_than": older_than, "limit": limit})

    async def forget_answers(self, older_than: timedelta, limit: int) -> int:
        """As the port says."""
        return await self._do(statements.FORGET_ANSWERS, {"older_than": older_than, "limit": limit})

    async def forget_claims(self, older_than: timedelta) -> int:
        """As the port says."""
        async with self._database.connection() as connection:
            return await self._claims.prune(connection, older_than)

    # -- reading

    async def generation(self, generation_id: str) -> Generation | None:
        """As the port says."""
        async with self._database.connection() as connection:
            return await _generation(connection, generation_id)

    async def head(self, generation_id: str) -> Generation | None:
        """As the port says."""
        row = await self._one(statements.HEAD, {"generation_id": generation_id})
        return None if row is None else rows.generation(row)

    async def state(self, generation_id: str) -> State | None:
        """As the port says."""
        row = await self._one(statements.STATE, {"generation_id": generation_id})
        return None if row is None else State(row[0])

    async def events(self, generation_id: str, after_seq: int, limit: int) -> Sequence[Event]:
        """As the port says."""
        async with self._database.connection() as connection:
            return await _events(connection, generation_id, after_seq, limit)

    async def summarize(self, start: datetime, end: datetime, limit: int) -> Sequence[UsageSummary]:
        """As the port says."""
        span = {"first": first_id_at(start), "last": first_id_at(end), "limit": limit}
        found = await self._all(statements.USAGE, span)
        return [
            UsageSummary(
                user_id,
                model,
                UsageStatus(status),
                count,
                {unit: amount for unit, amount in zip(Unit, sums, strict=True) if amount},
            )
            for user_id, model, status, count, sums in found
        ]

    async def pending(self, start: datetime, end: datetime) -> int:
        """As the port says."""
        return await pending(self._database, start, end)

    async def redeliver(self, start: datetime, end: datetime, after: str, limit: int) -> Redelivered:
        """As the port says."""
        return await redelivered(self._database, start, end, after, limit)

    async def context(
        self, session_id: str, user_id: str, limit: int
    ) -> tuple[Session, Sequence[Message]] | None:
        """As the port says."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                statements.SESSION.encode(), {"session_id": session_id, "user_id": user_id}, prepare=True
            )
            row = await cursor.fetchone()
            if row is None:
                return None
            cursor = await connection.execute(
                statements.HISTORY.encode(),
                {"session_id": session_id, "limit": limit, "max_bytes": HISTORY_BYTES},
                prepare=True,
            )
            messages = [rows.turn(found) for found in await cursor.fetchall()]
        return rows.session(row), messages[::-1]


async def _generation(connection: Connection, generation_id: str) -> Generation | None:
    values = {"generation_id": generation_id}
    cursor = await connection.execute(statements.GENERATION.encode(), values, prepare=True)
    row = await cursor.fetchone()
    if row is None:
        return None
    generation = rows.generation(row)
    if generation.state is not State.RUNNING:
        cursor = await connection.execute(statements.ANSWER.encode(), {"message_id": generation.message_id})
        answer = await cursor.fetchone()
        if answer is not None:
            return replace(generation, text="".join(answer[0]), tool_calls=rows.tool_calls(answer[1]))
    if generation.events_pruned:
        return generation
    events = await _events(connection, generation_id, 0, _ALL_ROWS)
    last_seq = max(generation.last_seq, events[-1].seq if events else 1)
    return replace(generation, last_seq=last_seq, **assembled(events))  # type: ignore[arg-type]


async def _events(connection: Connection, generation_id: str, after_seq: int, limit: int) -> list[Event]:
    values = {"generation_id": generation_id, "after_seq": after_seq, "limit": limit}
    cursor = await connection.execute(statements.EVENTS.encode(), values, prepare=True, binary=True)
    found = await cursor.fetchone()
    if found is None or found[0] is None:
        return []
    return joined_from_bytes(found[0], after_seq)
