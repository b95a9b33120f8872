"""The audit trail in PostgreSQL. The table refuses changes, whoever asks for them."""

from __future__ import annotations

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.model.audit import AuditEvent, Deed
from services.auth.stores.tables import audit_events
from services.infra.postgres.database import Database
from services.infra.postgres.failures import translated
from services.kernel.ids import new_id
from services.kernel.paging import Page, PageRequest


async def record(connection: AsyncConnection, deed: Deed) -> None:
    """Write down what is done in this transaction."""
    values = {
        "id": new_id(),
        "action": deed.action,
        "actor_id": deed.origin.actor_id or None,
        "user_id": deed.user_id or None,
        "address": deed.origin.address,
        "attributes": {**deed.origin.via, **deed.attributes},
    }
    await connection.execute(insert(audit_events).values(values))


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
