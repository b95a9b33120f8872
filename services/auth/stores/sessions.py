"""Login sessions in PostgreSQL.

The person's row is the lock of all that happens to the person's sessions: rotation, revocation, disabling, a new password. Were only
the token's row locked, a rotation could add a successor that a revocation of the family at the same moment does not see.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta

from sqlalchemy import Select, delete, func, select, update
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
from services.auth.stores.accounts import USER_COLUMNS, user_of
from services.auth.stores.audit import record
from services.auth.stores.ended_sessions import end_sessions
from services.auth.stores.refresh_tokens import find, lock_owner, replay, rotate
from services.auth.stores.revocations import SqlRevocations
from services.auth.stores.tables import sessions, users
from services.auth.stores.token_lives import longest
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
            select(*USER_COLUMNS, users.c.password_hash, users.c.password_shown, users.c.revocation_id)
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
                await record(connection, deed)
                known: dict[str, object] = {} if new_hash is None else {"password_hash": new_hash}
                # Whoever logs in knows the password, so the first start has none to show any more.
                if not row.password_shown:
                    known["password_shown"] = True
                if known:
                    await connection.execute(update(users).where(users.c.id == session.user_id).values(known))
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
        return Refreshed(
            Verdict.ROTATED, session.session_id, user, expire_time=expire_time, revision=row.revocation_id
        )

    async def refresh(
        self, presented: bytes, successor: Successor, grace: timedelta, origin: Origin
    ) -> Refreshed | None:
        """See `ports.Sessions`."""
        with translated():
            async with self._database.engine.begin() as connection:
                await lock_owner(connection, presented)
                row = await find(connection, presented)
                if row is None:
                    return None
                state = RefreshState(row.expires_at, row.rotated_at, row.revoked, row.disabled)
                verdict = judge(state, row.now, grace)
                if verdict is Verdict.ROTATED:
                    return await rotate(connection, row, successor, grace)
                if verdict is Verdict.REPLAYED:
                    replayed = await replay(connection, row)
                    if replayed is not None:
                        return replayed
                    verdict = Verdict.REUSED
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
                await lock_owner(connection, presented)
                row = await find(connection, presented)
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
        others = [sessions.c.user_id == user_id]
        if kept_session_id:
            others.append(sessions.c.family_id != kept_session_id)
        with translated():
            async with self._database.engine.begin() as connection:
                row = (await connection.execute(_lock(user_id))).one_or_none()
                if row is None or verified_hash not in (None, row.password_hash):
                    return False
                await record(connection, deed)
                # Whoever chose this password knows it, so the first start has none to show any more.
                await connection.execute(
                    update(users)
                    .where(users.c.id == user_id)
                    .values(password_hash=new_hash, password_shown=True, updated_at=func.now())
                )
                ended = await end_sessions(connection, *others)
                await self._revocations.add(connection, RevocationKind.SESSION, ended)
        self._revocations.announce()
        return True

    async def prune(self) -> int:
        """Forget some refresh tokens that have expired, and tell how many; 0 when none is left. Safe in every replica.

        A session is known for as long as an access token of it may live, even if that is set to outlive the refresh token."""
        expired = (
            select(sessions.c.id)
            .where(sessions.c.expires_at < func.now() - longest(timedelta(days=1)))
            .order_by(sessions.c.expires_at)
            .limit(_PRUNE_BATCH)
            .with_for_update(skip_locked=True)
        )
        with translated():
            async with self._database.engine.begin() as connection:
                result = await connection.execute(delete(sessions).where(sessions.c.id.in_(expired)))
                return result.rowcount

    async def _revoke_family(self, connection: AsyncConnection, family_id: str, deed: Deed) -> None:
        attributes = {**deed.attributes, "session_id": family_id}
        await record(connection, dataclasses.replace(deed, attributes=attributes))
        await end_sessions(connection, sessions.c.family_id == family_id)
        await self._revocations.add(connection, RevocationKind.SESSION, [family_id])


def _lock(user_id: str) -> Select[str]:
    """Takes the person's row until the end of the transaction; gives the password's hash."""
    return select(users.c.password_hash).where(users.c.id == user_id).with_for_update(key_share=True)
