"""The outbox: usage events wait here, written in the transaction of the result that they belong to, until they are shipped.

A service's own statement inserts into `<schema>.outbox (event_id, payload)`, so that result and event are one step; `payload` is a
serialized antiphon.usage.v1.UsageEvent.
"""

from __future__ import annotations

from services.capabilities.metering.mapping import event_to_proto
from services.capabilities.metering.model import UsageEvent


def payload(event: UsageEvent) -> bytes:
    """The event as the outbox keeps it."""
    return event_to_proto(event).SerializeToString(deterministic=True)


def ddl(schema: str) -> str:
    """The table, for the migration of the service whose schema it lives in."""
    return f"""
        create table {schema}.outbox (
            event_id uuid primary key,
            payload bytea not null,
            created_at timestamptz not null default now()
        )
    """
