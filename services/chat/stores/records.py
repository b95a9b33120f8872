"""Records of generations in PostgreSQL, by psycopg directly: this is the whole path of a chat call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import errors as pg
from psycopg.types.json import Jsonb

from services.capabilities.claims.sql import SqlClaims
from services.capabilities.metering import outbox
from services.capabilities.metering.mapping import usage_to_proto
from services.capabilities.metering.model import NO_USAGE, UsageEvent
from services.chat.generation.live import assembled
from services.chat.mapping.events import events_from_bytes, events_to_bytes
from services.chat.model import (
    Ending,
    Event,
    Finished,
    FinishReason,
    Generation,
    Lease,
    Message,
    NewGeneration,
    Role,
    Session,
    Started,
    State,
)
from services.chat.ports import Flush, LeaseLost
from services.chat.stores import rows, statements
from services.infra.postgres.database import Connection, Database
from services.infra.postgres.dedicated import bigint, bigints, byteas, uuids
from services.kernel.errors import AlreadyExists, NotFound, Unavailable
from services.kernel.ids import new_id

_ALL_ROWS = 1_000_000
_HISTORY_BYTES = 4 * 1024**2


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

    async def renew(self, lease: Lease, ttl: timedelta) -> Sequence[str] | None:
        """As the port says."""
        row = await self._one(statements.RENEW, {**_under(lease), "ttl": ttl})
        return None if row is None else list(row[0])

    async def running(self, lease: Lease) -> Sequence[str]:
        """As the port says."""
        return [row[0] for row in await self._all(statements.RUNNING, _under(lease))]

    async def release(self, lease: Lease) -> None:
        """As the port says."""
        await self._do(statements.RELEASE, _under(lease))

    async def take_over(self, mine: Lease, *, sole_owner: bool) -> Sequence[Generation]:
        """As the port says."""
        async with self._database.transaction() as connection:
            cursor = await connection.execute(
                statements.FENCE.encode(), {"owner_id": mine.owner_id, "sole_owner": sole_owner}
            )
            dead = [row[0] for row in await cursor.fetchall()]
            if not dead:
                return []
            cursor = await connection.execute(statements.ADOPT.encode(), {**_under(mine), "dead": dead})
            adopted = [row[0] for row in await cursor.fetchall()]
            await connection.execute(statements.FORGET.encode(), {"dead": dead})
            # Read before the commit: adopted ones that are not returned would be left running.
            found = [await _generation(connection, generation_id) for generation_id in adopted]
        return [generation for generation in found if generation is not None]

    # -- writing

    async def begin(self, lease: Lease, new: NewGeneration) -> str | None:
        """As the port says; NotFound when the session was deleted meanwhile."""
        try:
            row = await self._one(statements.BEGIN, _beginning(lease, new))
        except pg.ForeignKeyViolation:
            raise NotFound.of("chat.session", new.generation.session_id) from None
        except pg.UniqueViolation:
            # Only a repetition of this very step, after an attempt whose fate was not known, meets its own rows.
            return None
        assert row is not None
        leased, begun = row
        if begun:
            return None
        if not leased:
            raise LeaseLost
        return await self._earlier(new)

    async def _earlier(self, new: NewGeneration) -> str | None:
        claim = {"caller": new.caller, "request_id": new.generation.request_id}
        row = await self._one(statements.CLAIMED, claim)
        if row is None:
            # The holder freed it between the two statements.
            raise Unavailable(
                "the first call with this request_id has just failed; try again", retry_after=0.1
            )
        generation_id, digest = row
        if bytes(digest) != new.digest:
            raise AlreadyExists(
                "this request_id was used before with another body; make a new one for a new request",
                reason="REQUEST_ID_REUSED",
                metadata={"request_id": new.generation.request_id},
            )
        return None if generation_id == new.generation.generation_id else str(generation_id)

    async def append(self, lease: Lease, flushes: Sequence[Flush]) -> set[str]:
        """As the port says."""
        accepted = await self._append.execute(_batch(lease, flushes))
        return {str(UUID(bytes=generation_id)) for (generation_id,) in accepted}

    async def finish(
        self, lease: Lease, generation: Generation, ending: Ending, usage_event: UsageEvent | None
    ) -> bool:
        """As the port says."""
        row = await self._one(statements.FINISH, _ending(lease, generation, ending, usage_event))
        assert row is not None
        if row[0]:
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

    async def state(self, generation_id: str) -> State | None:
        """As the port says."""
        row = await self._one(statements.STATE, {"generation_id": generation_id})
        return None if row is None else State(row[0])

    async def events(self, generation_id: str, after_seq: int, limit: int) -> Sequence[Event]:
        """As the port says."""
        async with self._database.connection() as connection:
            return await _events(connection, generation_id, after_seq, limit)

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
                {"session_id": session_id, "limit": limit, "max_bytes": _HISTORY_BYTES},
                prepare=True,
            )
            messages = [rows.turn(found) for found in await cursor.fetchall()]
        return rows.session(row), messages[::-1]


async def warm(connection: Connection) -> None:
    """Prepare a new connection for the hot path, by running each statement once where it does nothing."""
    # A generic plan that was made while the tables were empty reads them from end to end, and stays.
    await connection.execute("set enable_seqscan = off")
    nobody, nothing, now = Lease(new_id(), 0), new_id(), datetime.now(UTC)
    generation = Generation(nothing, "", nothing, nothing, "", "", "", "", State.RUNNING, now)
    started = Event(1, 1, now, Started(nothing, "", nothing, ""))
    asked = Message(nothing, Role.USER, ("",))
    session = Session(nothing, "", "", "", "", "", False, now, now)
    finished = Event(2, 2, now, Finished(FinishReason.STOP, nothing, NO_USAGE))
    ending = Ending(State.COMPLETED, FinishReason.STOP, None, NO_USAGE, asked, (finished,), 2, "", now, False)
    for statement, values in (
        (
            statements.BEGIN,
            _beginning(nobody, NewGeneration(generation, "", bytes(32), session, asked, started)),
        ),
        (statements.FINISH, _ending(nobody, generation, ending, None)),
        (statements.GENERATION, {"generation_id": nothing}),
        (statements.EVENTS, {"generation_id": nothing, "after_seq": 0, "limit": 1}),
        (statements.SESSION, {"session_id": nothing, "user_id": ""}),
        (statements.HISTORY, {"session_id": nothing, "limit": 1, "max_bytes": _HISTORY_BYTES}),
    ):
        await connection.execute(statement.encode(), values, prepare=True)


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
    cursor = await connection.execute(statements.EVENTS.encode(), values, prepare=True)
    found = await cursor.fetchall()
    return [event for (payload,) in found for event in events_from_bytes(payload) if event.seq > after_seq]


def _under(lease: Lease) -> dict[str, Any]:
    return {"owner_id": lease.owner_id, "epoch": lease.epoch}


def _batch(lease: Lease, flushes: Sequence[Flush]) -> list[bytes]:
    return [
        UUID(lease.owner_id).bytes,
        bigint(lease.epoch),
        uuids([UUID(flush.generation_id).bytes for flush in flushes]),
        bigints([flush.first_seq for flush in flushes]),
        bigints([flush.seq for flush in flushes]),
        byteas([events_to_bytes(flush.events) for flush in flushes]),
    ]


def _beginning(lease: Lease, new: NewGeneration) -> dict[str, Any]:
    generation, session, asked = new.generation, new.session, new.user_message
    return {
        **_under(lease),
        "generation_id": generation.generation_id,
        "session_id": generation.session_id or None,
        "message_id": generation.message_id,
        "user_id": generation.user_id,
        "api_key_id": generation.api_key_id,
        "caller": new.caller,
        "request_id": generation.request_id or None,
        "digest": new.digest,
        "operation": generation.operation,
        "input_tokens_estimate": generation.input_tokens_estimate,
        "project": generation.project,
        "model": generation.model,
        "provider": generation.provider,
        "now": generation.create_time,
        "opens_session": session is not None,
        "title": session.title if session else "",
        "session_model": session.model if session else "",
        "system_prompt": session.system_prompt if session else "",
        "user_message_id": asked.message_id if asked else None,
        "user_texts": list(asked.texts) if asked else [],
        "started": events_to_bytes([new.started]),
    }


def _ending(
    lease: Lease, generation: Generation, ending: Ending, usage_event: UsageEvent | None
) -> dict[str, Any]:
    message, events = ending.message, ending.last_events
    return {
        **_under(lease),
        "generation_id": generation.generation_id,
        "state": ending.state.value,
        "finish_reason": ending.finish_reason.value if ending.finish_reason else None,
        "failure": Jsonb(rows.failure_to_json(ending.failure)) if ending.failure else None,
        "usage": usage_to_proto(ending.usage).SerializeToString(),
        "reasoning": ending.reasoning,
        "last_seq": ending.last_seq,
        "ended_at": ending.end_time,
        "first_seq": events[0].first_seq if events else None,
        "payload": events_to_bytes(events) if events else None,
        "message_id": message.message_id if message else None,
        "texts": list(message.texts) if message else [],
        "tool_calls": Jsonb(rows.tool_calls_to_json(message.tool_calls) if message else []),
        "model": generation.model,
        "free_claim": ending.free_claim,
        "event_id": usage_event.event_id if usage_event else None,
        "event": outbox.payload(usage_event) if usage_event else None,
    }
