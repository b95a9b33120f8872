"""Revocations in PostgreSQL: written in the transaction of what they are about, read in the order in which they became visible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, Uuid, cast, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.stores.tables import revocations, users
from services.auth.stores.token_lives import longest
from services.capabilities.identity.revocations import Revocation, RevocationKind
from services.infra.postgres.database import Database
from services.infra.postgres.failures import translated

_LOCK_KEY = 0x61757468_7265766B  # "authrevk" in ASCII: the number that all replicas agree on
_MARGIN = timedelta(minutes=1)
_PRUNE_BATCH = 1000
_COLUMNS = (
    revocations.c.id,
    revocations.c.kind,
    revocations.c.subject_id,
    revocations.c.revoked_at,
    revocations.c.expires_at,
)


class SqlRevocations:
    """`ports.RevocationTable`. Other stores add to it inside their own transactions.

    Ids are drawn before a transaction commits, so a reader could see 8 before 7, and pass 7 over for good. Whoever adds therefore
    holds a lock from before the first id until the commit: add last, and commit soon.
    """

    def __init__(self, database: Database, token_life: timedelta) -> None:
        """`token_life` is that of access tokens that are signed now: an entry matters for as long as a token that it is about can live."""
        self._database = database
        self._life = longest(token_life) + _MARGIN
        self._wake: Callable[[], None] = lambda: None

    def call_when_added(self, wake: Callable[[], None]) -> None:
        """Have `wake` called after this process has committed entries."""
        self._wake = wake

    def announce(self) -> None:
        """Tell that entries were committed. Forgetting it only delays them by a moment."""
        self._wake()

    async def add(
        self, connection: AsyncConnection, kind: RevocationKind, subject_ids: Sequence[str]
    ) -> None:
        """Add an entry for each subject. For the kind USER, the person's row says so, too: tokens made from now on know of it."""
        if not subject_ids:
            return
        await connection.execute(select(func.pg_advisory_xact_lock(_LOCK_KEY)))
        now = func.clock_timestamp()
        # One parameter for all of them: a new password may end tens of thousands of sessions.
        subjects = func.unnest(cast(list(subject_ids), ARRAY(Uuid(as_uuid=False))))
        rows = select(literal(kind.value), subjects, now, now + self._life)
        added = await connection.execute(
            insert(revocations)
            .from_select(["kind", "subject_id", "revoked_at", "expires_at"], rows)
            .returning(revocations.c.id, revocations.c.subject_id)
        )
        if kind is RevocationKind.USER:
            for row in added:
                await connection.execute(
                    update(users).where(users.c.id == row.subject_id).values(revocation_id=row.id)
                )

    async def current(self, after: int, limit: int) -> Sequence[Revocation]:
        """See `ports.RevocationTable`."""
        last = select(func.max(revocations.c.id)).scalar_subquery()
        matters = (revocations.c.expires_at > func.now()) | (revocations.c.id == last)
        return await self._read((revocations.c.id > after) & matters, limit)

    async def after(self, position: int, limit: int) -> Sequence[Revocation]:
        """See `ports.RevocationTable`."""
        return await self._read(revocations.c.id > position, limit)

    async def last(self) -> int:
        """See `ports.RevocationTable`."""
        with translated():
            async with self._database.engine.connect() as connection:
                return await connection.scalar(select(func.max(revocations.c.id))) or 0

    async def prune(self) -> int:
        """Forget some entries that no credential is left for, and tell how many; 0 when none is left. Deletions of people stay, and so
        does the last entry, which tells where the feed is."""
        last = select(func.max(revocations.c.id)).scalar_subquery()
        expired = (
            select(revocations.c.id)
            .where(
                revocations.c.expires_at < func.now(),
                revocations.c.kind != RevocationKind.USER_DELETED.value,
                revocations.c.id < last,
            )
            .limit(_PRUNE_BATCH)
            .with_for_update(skip_locked=True)
        )
        with translated():
            async with self._database.engine.begin() as connection:
                result = await connection.execute(delete(revocations).where(revocations.c.id.in_(expired)))
                return result.rowcount

    async def _read(self, condition: Any, limit: int) -> Sequence[Revocation]:
        statement = select(*_COLUMNS).where(condition).order_by(revocations.c.id).limit(limit)
        with translated():
            async with self._database.engine.connect() as connection:
                rows = (await connection.execute(statement)).all()
        return [_entry(row) for row in rows]


def _entry(row: Row[*tuple[Any, ...]]) -> Revocation:
    return Revocation(
        position=row.id,
        kind=RevocationKind(row.kind),
        subject_id=row.subject_id,
        revoke_time=row.revoked_at.timestamp(),
        expire_time=row.expires_at.timestamp(),
    )
