"""Login sessions in PostgreSQL.

The person's row is the lock of all that happens to the person's sessions: rotation, revocation, disabling, a new password. Were only
the token's row locked, a rotation could add a successor that a revocation of the family at the same moment does not see.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.model import NewSession, Refreshed, RefreshState, Successor, Verdict, judge
from services.auth.stores.accounts import USER_COLUMNS, replace_password, user_of
from services.auth.stores.tables import sessions, users
from services.infra.postgres.database import Database
from services.infra.postgres.failures import translated

_PRUNE_BATCH = 1000


class SqlSessions:
    """`ports.Sessions` over the table `sessions`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(
        self, session: NewSession, verified_hash: str, new_hash: str | None = None
    ) -> Refreshed | None:
        """See `ports.Sessions`."""
        locked = (
            select(*USER_COLUMNS, users.c.password_hash)
            .where(users.c.id == session.user_id)
            .with_for_update(key_share=True)
        )
        with translated():
            async with self._database.engine.begin() as connection:
                row = (await connection.execute(locked)).one_or_none()
                if row is None or row.password_hash != verified_hash:
                    return None
                user = user_of(row)
                if user.disabled:
                    return Refreshed(Verdict.DISABLED, session.session_id, user)
                if new_hash is not None:
                    await replace_password(connection, session.user_id, new_hash)
                values = {
                    "id": session.session_id,
                    "family_id": session.session_id,
                    "user_id": session.user_id,
                    "refresh_token": session.refresh_digest,
                    "device_name": session.device_name,
                    "started_at": func.now(),
                    "expires_at": func.now() + session.lifetime,
                    "revoked": False,
                }
                expire_time = await connection.scalar(
                    insert(sessions).values(values).returning(sessions.c.expires_at)
                )
        return Refreshed(Verdict.ROTATED, session.session_id, user, expire_time=expire_time)

    async def refresh(self, presented: bytes, successor: Successor, grace: timedelta) -> Refreshed | None:
        """See `ports.Sessions`."""
        with translated():
            async with self._database.engine.begin() as connection:
                await self._lock_person(connection, presented)
                row = await self._find(connection, presented)
                if row is None:
                    return None
                state = RefreshState(row.expires_at, row.rotated_at, row.revoked, row.disabled)
                verdict = judge(state, row.now, grace)
                if verdict is Verdict.ROTATED:
                    return await self._rotate(connection, row, successor, grace)
                if verdict is Verdict.REPLAYED:
                    return await self._replay(connection, row)
                if verdict is Verdict.REUSED:
                    await self._revoke_family(connection, row.family_id)
                return Refreshed(verdict, row.family_id, user_of(row))

    async def revoke(self, presented: bytes) -> None:
        """See `ports.Sessions`."""
        with translated():
            async with self._database.engine.begin() as connection:
                await self._lock_person(connection, presented)
                row = await self._find(connection, presented)
                if row is not None:
                    await self._revoke_family(connection, row.family_id)

    async def prune(self) -> int:
        """Forget some refresh tokens that have expired, and tell how many; 0 when none is left. Safe in every replica."""
        expired = (
            select(sessions.c.id)
            .where(sessions.c.expires_at < func.now() - timedelta(days=1))
            .order_by(sessions.c.expires_at)
            .limit(_PRUNE_BATCH)
            .with_for_update(skip_locked=True)
        )
        with translated():
            async with self._database.engine.begin() as connection:
                result = await connection.execute(delete(sessions).where(sessions.c.id.in_(expired)))
                return result.rowcount

    async def _lock_person(self, connection: AsyncConnection, presented: bytes) -> None:
        # What is read afterwards, by a statement of its own, is what the one before has committed.
        owner = select(sessions.c.user_id).where(sessions.c.refresh_token == presented).scalar_subquery()
        await connection.execute(
            select(users.c.id).where(users.c.id == owner).with_for_update(key_share=True)
        )

    async def _find(self, connection: AsyncConnection, presented: bytes) -> Row[*tuple[Any, ...]] | None:
        statement = (
            select(
                *USER_COLUMNS,
                sessions.c.id.label("row_id"),
                sessions.c.family_id,
                sessions.c.device_name,
                sessions.c.started_at,
                sessions.c.expires_at,
                sessions.c.rotated_at,
                sessions.c.successor_id,
                sessions.c.successor,
                sessions.c.revoked,
                func.clock_timestamp().label("now"),
            )
            .join_from(sessions, users, users.c.id == sessions.c.user_id)
            .where(sessions.c.refresh_token == presented)
        )
        return (await connection.execute(statement)).one_or_none()

    async def _rotate(
        self, connection: AsyncConnection, row: Row[*tuple[Any, ...]], successor: Successor, grace: timedelta
    ) -> Refreshed:
        # A sealed successor that can't be asked for any more would only lead from an old token to the living one.
        await connection.execute(
            update(sessions)
            .where(sessions.c.family_id == row.family_id, sessions.c.rotated_at < row.now - grace)
            .values(successor=None)
        )
        await connection.execute(
            update(sessions)
            .where(sessions.c.id == row.row_id)
            .values(rotated_at=row.now, successor_id=successor.row_id, successor=successor.sealed)
        )
        values = {
            "id": successor.row_id,
            "family_id": row.family_id,
            "user_id": row.id,
            "refresh_token": successor.digest,
            "device_name": row.device_name,
            "started_at": row.started_at,
            "expires_at": row.now + successor.lifetime,
            "revoked": False,
        }
        expire_time = await connection.scalar(
            insert(sessions).values(values).returning(sessions.c.expires_at)
        )
        return Refreshed(Verdict.ROTATED, row.family_id, user_of(row), successor.sealed, expire_time)

    async def _replay(self, connection: AsyncConnection, row: Row[*tuple[Any, ...]]) -> Refreshed:
        statement = select(sessions.c.expires_at).where(sessions.c.id == row.successor_id)
        expire_time = await connection.scalar(statement)
        return Refreshed(Verdict.REPLAYED, row.family_id, user_of(row), bytes(row.successor), expire_time)

    async def _revoke_family(self, connection: AsyncConnection, family_id: str) -> None:
        await connection.execute(
            update(sessions)
            .where(sessions.c.family_id == family_id, sessions.c.revoked.is_(False))
            .values(revoked=True, revoked_at=func.clock_timestamp())
        )
