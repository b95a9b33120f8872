"""Login sessions in PostgreSQL.

The person's row is the lock of all that happens to the person's sessions: rotation, revocation, disabling, a new password. Were only
the token's row locked, a rotation could add a successor that a revocation of the family at the same moment does not see.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.model.audit import Deed, Origin
from services.auth.model.sessions import (
    LoginSession,
    NewSession,
    Refreshed,
    RefreshState,
    Successor,
    Verdict,
    judge,
)
from services.auth.stores.accounts import USER_COLUMNS, replace_password, user_of
from services.auth.stores.audit import record
from services.auth.stores.revocations import SqlRevocations
from services.auth.stores.tables import sessions, users
from services.capabilities.identity.revocations import RevocationKind
from services.infra.postgres.database import Database
from services.infra.postgres.failures import translated
from services.kernel.paging import Page, PageRequest

_PRUNE_BATCH = 1000


class SqlSessions:
    """`ports.Sessions` over the table `sessions`."""

    def __init__(self, database: Database, revocations: SqlRevocations) -> None:
        self._database = database
        self._revocations = revocations

    async def open(
        self, session: NewSession, verified_hash: str, deed: Deed, new_hash: str | None = None
    ) -> Refreshed | None:
        """See `ports.Sessions`."""
        locked = (
            select(*USER_COLUMNS, users.c.password_hash, users.c.revocation_id)
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
                await record(connection, deed)
        return Refreshed(
            Verdict.ROTATED, session.session_id, user, expire_time=expire_time, revision=row.revocation_id
        )

    async def refresh(
        self, presented: bytes, successor: Successor, grace: timedelta, origin: Origin
    ) -> Refreshed | None:
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
                    await self._revoke_family(
                        connection, row.family_id, Deed("session.reuse", row.id, origin)
                    )
        if verdict is Verdict.REUSED:
            self._revocations.announce()
        return Refreshed(verdict, row.family_id, user_of(row))

    async def revoke(self, presented: bytes, origin: Origin) -> None:
        """See `ports.Sessions`."""
        with translated():
            async with self._database.engine.begin() as connection:
                await self._lock_person(connection, presented)
                row = await self._find(connection, presented)
                if row is None or row.revoked:
                    return
                # Who has the token speaks for its owner.
                owner = dataclasses.replace(origin, actor_id=row.id)
                await self._revoke_family(connection, row.family_id, Deed("user.logout", row.id, owner))
        self._revocations.announce()

    async def list(self, user_id: str, page: PageRequest) -> Page[LoginSession]:
        """See `ports.Sessions`."""
        # A session's newest token is the one that was not rotated yet, and says whether the session lives.
        statement = (
            select(
                sessions.c.family_id,
                sessions.c.device_name,
                sessions.c.started_at,
                sessions.c.created_at,
                sessions.c.expires_at,
            )
            .where(
                sessions.c.user_id == user_id,
                sessions.c.rotated_at.is_(None),
                sessions.c.revoked.is_(False),
                sessions.c.expires_at > func.now(),
            )
            .order_by(sessions.c.family_id.desc())
        )
        if page.after is not None:
            statement = statement.where(sessions.c.family_id < page.after)
        with translated():
            async with self._database.engine.connect() as connection:
                rows = (await connection.execute(statement.limit(page.size + 1).offset(page.skip))).all()
        found = [
            LoginSession(
                session_id=row.family_id,
                device_name=row.device_name,
                create_time=row.started_at,
                last_use_time=row.created_at,
                expire_time=row.expires_at,
            )
            for row in rows[: page.size]
        ]
        return Page(found, found[-1].session_id if len(rows) > page.size else None)

    async def end(self, user_id: str, session_id: str, deed: Deed) -> bool:
        """See `ports.Sessions`."""
        state = (
            select(sessions.c.revoked)
            .where(sessions.c.family_id == session_id, sessions.c.user_id == user_id)
            .limit(1)
        )
        with translated():
            async with self._database.engine.begin() as connection:
                await connection.execute(_lock(user_id))
                revoked = await connection.scalar(state)
                if revoked is not False:
                    return revoked is True
                await self._revoke_family(connection, session_id, deed)
        self._revocations.announce()
        return True

    async def change_password(
        self, user_id: str, verified_hash: str | None, new_hash: str, kept_session_id: str, deed: Deed
    ) -> bool:
        """See `ports.Sessions`."""
        others = (
            update(sessions)
            .where(sessions.c.user_id == user_id, sessions.c.revoked.is_(False))
            .values(revoked=True, revoked_at=func.clock_timestamp())
            .returning(sessions.c.family_id)
        )
        if kept_session_id:
            others = others.where(sessions.c.family_id != kept_session_id)
        with translated():
            async with self._database.engine.begin() as connection:
                row = (await connection.execute(_lock(user_id))).one_or_none()
                if row is None or verified_hash not in (None, row.password_hash):
                    return False
                # Whoever chose this password knows it, so the first start has none to show any more.
                await connection.execute(
                    update(users)
                    .where(users.c.id == user_id)
                    .values(password_hash=new_hash, password_shown=True, updated_at=func.now())
                )
                ended = sorted(set((await connection.execute(others)).scalars()))
                await record(connection, deed)
                await self._revocations.add(connection, RevocationKind.SESSION, ended)
        self._revocations.announce()
        return True

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
                users.c.revocation_id,
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
            .where(
                sessions.c.family_id == row.family_id,
                sessions.c.rotated_at < row.now - grace,
                sessions.c.successor.is_not(None),
            )
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
        return Refreshed(
            Verdict.ROTATED, row.family_id, user_of(row), successor.sealed, expire_time, row.revocation_id
        )

    async def _replay(self, connection: AsyncConnection, row: Row[*tuple[Any, ...]]) -> Refreshed:
        statement = select(sessions.c.expires_at).where(sessions.c.id == row.successor_id)
        expire_time = await connection.scalar(statement)
        return Refreshed(
            Verdict.REPLAYED,
            row.family_id,
            user_of(row),
            bytes(row.successor),
            expire_time,
            row.revocation_id,
        )

    async def _revoke_family(self, connection: AsyncConnection, family_id: str, deed: Deed) -> None:
        await connection.execute(
            update(sessions)
            .where(sessions.c.family_id == family_id, sessions.c.revoked.is_(False))
            .values(revoked=True, revoked_at=func.clock_timestamp())
        )
        await record(
            connection, dataclasses.replace(deed, attributes={**deed.attributes, "session_id": family_id})
        )
        await self._revocations.add(connection, RevocationKind.SESSION, [family_id])


def _lock(user_id: str) -> Select[str]:
    """Takes the person's row until the end of the transaction; gives the password's hash."""
    return select(users.c.password_hash).where(users.c.id == user_id).with_for_update(key_share=True)
