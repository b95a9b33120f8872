"""Claims in PostgreSQL, beside the tables of the service that takes them."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

import psycopg

from services.capabilities.claims.model import Claim
from services.kernel.errors import AlreadyExists

_SCHEMA = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PRUNE_BATCH = 1000


def ddl(schema: str) -> tuple[str, ...]:
    """The statements that make the table, for the migrations of a service.

    Histories that have run them rely on them, so they stay as they are; a later change comes as another function.
    """
    _check(schema)
    return (
        f"""
        create table {schema}.claims (
            caller text not null,
            request_id uuid not null,
            digest bytea not null,
            resource_id uuid not null,
            created_at timestamptz not null default now(),
            primary key (caller, request_id)
        )
        """,
        f"create index idx_claims_created_at on {schema}.claims (created_at)",
    )


class SqlClaims:
    """The claims of one service. Every method works inside the caller's transaction, and lives or dies with it."""

    def __init__(self, schema: str) -> None:
        _check(schema)
        # The update that changes nothing locks the row and returns it, whoever made it: one statement tells the holder.
        self._take = (
            f"insert into {schema}.claims as held (caller, request_id, digest, resource_id)"
            " values (%s, %s, %s, %s)"
            " on conflict (caller, request_id) do update set caller = held.caller"
            " returning held.digest, held.resource_id"
        ).encode()
        self._free = (
            f"delete from {schema}.claims where caller = %s and request_id = %s and resource_id = %s"
        ).encode()
        self._prune = (
            f"delete from {schema}.claims where (caller, request_id) in"
            f" (select caller, request_id from {schema}.claims where created_at < now() - %s"
            f" order by created_at limit {_PRUNE_BATCH} for update skip locked)"
        ).encode()
        self._forget = (
            f"delete from {schema}.claims where (caller, request_id) in"
            f" (select caller, request_id from {schema}.claims where caller = %s limit {_PRUNE_BATCH})"
        ).encode()

    async def take(self, connection: psycopg.AsyncConnection[Any], claim: Claim, resource_id: str) -> str:
        """The id of the resource that the claim stands for: `resource_id` itself when this call took it, else the holder's.

        A call that meets a claim of a transaction still open waits for its end, and takes the claim if that was rolled back.
        Raises AlreadyExists (REQUEST_ID_REUSED) when the holder's body was another one.
        """
        own = uuid.UUID(resource_id)
        cursor = await connection.execute(self._take, (claim.caller, claim.request_id, claim.digest, own))
        row = await cursor.fetchone()
        assert row is not None
        digest, holder = row
        if bytes(digest) != claim.digest:
            raise AlreadyExists(
                "this request_id was used before with another body; make a new one for a new request",
                reason="REQUEST_ID_REUSED",
                metadata={"request_id": claim.request_id},
            )
        return str(holder)

    async def free(self, connection: psycopg.AsyncConnection[Any], claim: Claim, resource_id: str) -> None:
        """Give up the claim, so that a retry starts anew. Does nothing unless it stands for `resource_id`."""
        await connection.execute(self._free, (claim.caller, claim.request_id, uuid.UUID(resource_id)))

    async def prune(self, connection: psycopg.AsyncConnection[Any], older_than: timedelta) -> int:
        """Forget some of the claims older than that, the oldest first, and tell how many; 0 when none is left.

        Safe to run in every replica: claims that another one is at are passed over.
        """
        cursor = await connection.execute(self._prune, (older_than,))
        return cursor.rowcount

    async def forget(self, connection: psycopg.AsyncConnection[Any], caller: str) -> int:
        """Forget some of the claims of a caller, and tell how many; 0 when none is left, or another process is at them."""
        cursor = await connection.execute(self._forget, (caller,))
        return cursor.rowcount


def _check(schema: str) -> None:
    if not _SCHEMA.fullmatch(schema):
        raise ValueError(f"{schema!r} is not the name of a schema")
