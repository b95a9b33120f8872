"""Generations in PostgreSQL: their beginning with its claim, their owners, and their end with what was made and used."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from services.capabilities.claims.model import Claim
from services.capabilities.claims.sql import SqlClaims
from services.capabilities.generations.model import State
from services.capabilities.metering.model import UsageEvent
from services.infra.postgres.database import Connection, Database
from services.infra.postgres.executing import SqlPart
from services.kernel.errors import AlreadyExists
from services.kernel.failures import Failure
from services.speech.model import Conversion, Generation, Used
from services.speech.stores import rows, statements

_WALK = 10_000
_FIRST = datetime.min.replace(tzinfo=UTC)


class SqlGenerations(SqlPart):
    """Keeps the promises of `ConversionStore` on generations. Times are the database's clock."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._claims = SqlClaims("speech")
        self._walked = _FIRST

    async def begin(self, owner_id: str, ttl: timedelta, generation: Generation, digest: bytes) -> str | None:
        """As the port says. It waits for the end of another transaction that takes the same claim."""
        values = rows.generation_values(generation) | {"owner_id": owner_id, "ttl": ttl}
        async with self._database.transaction() as connection:
            if generation.request_id:
                claim = Claim(generation.caller, generation.request_id, digest)
                holder = await self._claims.take(connection, claim, generation.generation_id)
                if holder != generation.generation_id:
                    return holder
            await connection.execute(statements.BEGIN.encode(), values)
        return None

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

    async def generation(self, generation_id: str) -> Generation | None:
        """As the port says."""
        row = await self._one(statements.GENERATION, {"generation_id": generation_id})
        return None if row is None else rows.generation(row)

    async def renew(self, owner_id: str, ttl: timedelta, generation_ids: Collection[str]) -> None:
        """As the port says."""
        values = {"owner_id": owner_id, "ttl": ttl, "generation_ids": list(generation_ids)}
        await self._do(statements.RENEW, values)

    async def complete(self, conversion: Conversion, used: Used, event: UsageEvent | None) -> bool:
        """As the port says."""
        values = _end_values(conversion.conversion_id, State.COMPLETED, None, used, event)
        async with self._database.transaction() as connection:
            if not await _ended(connection, values):
                return await _had_ended(connection, values)
            await connection.execute(statements.ADD_CONVERSION.encode(), rows.conversion_values(conversion))
        return True

    async def end(
        self,
        generation_id: str,
        state: State,
        failure: Failure | None,
        used: Used,
        event: UsageEvent | None,
        *,
        free: bool,
        remove: bool,
        again: int = 0,
        silent: bool = False,
    ) -> bool:
        """As the port says."""
        values = _end_values(generation_id, state, failure, used, event)
        values |= {"free": free, "remove": remove, "again": again, "silent": silent}
        async with self._database.connection() as connection:
            return await _ended(connection, values) or await _had_ended(connection, values)

    async def discard(self, generation_id: str, again: int) -> None:
        """As the port says."""
        await self._do(statements.DISCARD, {"generation_id": generation_id, "again": again})

    async def silent(self, limit: int, *, but: str = "") -> Sequence[Generation]:
        """As the port says."""
        found = (
            await self._all(statements.OTHERS, {"but": but, "limit": limit})
            if but
            else await self._all(statements.SILENT, {"limit": limit})
        )
        return [rows.generation(row) for row in found]

    async def prune(self, generations_before: datetime, claims_older: timedelta, limit: int) -> int:
        """As the port says. Generations that keep a conversion are walked past a part at a time, so that a call costs the same however many
        there are."""
        values = {"after": self._walked, "before": generations_before, "walk": _WALK, "limit": limit}
        row = await self._one(statements.PRUNE, values)
        assert row is not None
        gone, walked, last = row
        if gone < limit:
            self._walked = last if walked == _WALK else _FIRST
        async with self._database.connection() as connection:
            return int(gone) + await self._claims.prune(connection, claims_older)


def _end_values(
    generation_id: str, state: State, failure: Failure | None, used: Used, event: UsageEvent | None
) -> dict[str, Any]:
    return {
        "generation_id": generation_id,
        "state": state.value,
        "failure": None if failure is None else Jsonb(rows.failure_to_json(failure)),
        "free": False,
        "remove": False,
        "again": 0,
        "silent": False,
        **rows.event_values(used, event),
    }


async def _ended(connection: Connection, values: dict[str, Any]) -> bool:
    cursor = await connection.execute(statements.END.encode(), values)
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def _had_ended(connection: Connection, values: dict[str, Any]) -> bool:
    """Whether it has ended just so before: this call repeats one whose answer was lost."""
    cursor = await connection.execute(statements.ENDED_SO.encode(), values)
    row = await cursor.fetchone()
    return row is not None and bool(row[0])
