"""The audit trail in PostgreSQL. The table refuses changes, whoever asks for them."""

from __future__ import annotations

from sqlalchemy import exists, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.errors import StandingLost
from services.auth.model.accounts import Role
from services.auth.model.audit import AuditEvent, Deed, Origin, Standing
from services.auth.stores.tables import api_keys, audit_events, revocations, sessions, users
from services.capabilities.identity.revocations import RevocationKind
from services.infra.postgres.database import Database
from services.infra.postgres.failures import translated
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from services.kernel.paging import Page, PageRequest


async def record(connection: AsyncConnection, deed: Deed) -> None:
    """Write down what is done in this transaction, after the rows that it is about were locked.

    Raises StandingLost when the actor has lost what it was let in for, and Unavailable when its API key was rotated since it was looked
    up, so that the transaction must not commit.
    """
    await _require_standing(connection, deed.origin)
    values = {
        "id": new_id(),
        "action": deed.action,
        "actor_id": deed.origin.actor_id or None,
        "user_id": deed.user_id or None,
        "address": deed.origin.address,
        "attributes": {**deed.origin.via, **deed.attributes},
    }
    await connection.execute(insert(audit_events).values(values))


async def _require_standing(connection: AsyncConnection, origin: Origin) -> None:
    standing = origin.standing
    if standing is None:
        return
    # Read by a statement of its own, it sees what was committed while this transaction waited for a lock.
    conditions = [users.c.id == origin.actor_id, users.c.disabled.is_(False)]
    if standing.administers:
        conditions.append(users.c.role == Role.ADMIN.value)
    if standing.session_id:
        living = exists().where(sessions.c.family_id == standing.session_id, sessions.c.revoked.is_(False))
        conditions.append(living)
    if standing.api_key_id:
        good = exists().where(api_keys.c.id == standing.api_key_id, api_keys.c.revoked_at.is_(None))
        conditions.append(good)
    if not await connection.scalar(select(exists().where(*conditions))):
        raise StandingLost
    if standing.api_key_id and await _was_changed(connection, standing):
        # It may have been shown with its old secret, which can do less. In a moment this process knows which one it was.
        raise Unavailable("This API key has just been changed; try again.", retry_after=0.5)


async def _was_changed(connection: AsyncConnection, standing: Standing) -> bool:
    since = exists().where(
        revocations.c.kind == RevocationKind.API_KEY.value,
        revocations.c.subject_id == standing.api_key_id,
        revocations.c.id > standing.revision,
    )
    return bool(await connection.scalar(select(since)))


class SqlAuditTrail:
    """`ports.AuditTrail` over the table `audit_events`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, deed: Deed) -> None:
        """See `ports.AuditTrail`."""
        with translated():
            async with self._database.engine.begin() as connection:
                await record(connection, deed)

    async def events(self, user_id: str, page: PageRequest) -> Page[AuditEvent]:
        """See `ports.AuditTrail`."""
        statement = select(audit_events).order_by(audit_events.c.id.desc())
        if user_id:
            statement = statement.where(
                or_(audit_events.c.user_id == user_id, audit_events.c.actor_id == user_id)
            )
        if page.after is not None:
            statement = statement.where(audit_events.c.id < page.after)
        with translated():
            async with self._database.engine.connect() as connection:
                rows = (await connection.execute(statement.limit(page.size + 1).offset(page.skip))).all()
        events = [
            AuditEvent(
                audit_event_id=row.id,
                action=row.action,
                actor_id=row.actor_id or "",
                user_id=row.user_id or "",
                address=row.address,
                create_time=row.created_at,
                attributes=row.attributes,
            )
            for row in rows[: page.size]
        ]
        return Page(events, events[-1].audit_event_id if len(rows) > page.size else None)
