"""The outbox: usage events wait here, written in the transaction of the result that they belong to, until they are shipped.

A service's own statement inserts into `<schema>.outbox (event_id, user_id, payload)`, so that result and event are one step; `payload` is
a serialized antiphon.usage.v1.UsageEvent, and `user_id` its user, empty when there is none.
"""

from __future__ import annotations

from services.capabilities.metering.mapping import event_to_proto
from services.capabilities.metering.model import UsageEvent


def payload(event: UsageEvent) -> bytes:
    """The event as the outbox keeps it."""
    return event_to_proto(event).SerializeToString(deterministic=True)


def ddl(schema: str) -> str:
    """The table, for the migration of the service whose schema it lives in. Histories that have run it rely on it as it is."""
    return f"""
        create table {schema}.outbox (
            event_id uuid primary key,
            payload bytea not null,
            created_at timestamptz not null default now()
        )
    """


def ddl_people(schema: str) -> tuple[str, ...]:
    """What finds a person's events, for a later migration of that service. Histories that have run it rely on it as it is.

    Rows that were there before, and those of an older version that still runs, do not say whose they are: their `user_id` is null.
    """
    return (
        f"alter table {schema}.outbox add column user_id text",
        f"create index idx_outbox_user_id on {schema}.outbox (user_id, event_id) where user_id <> ''",
        f"create index idx_outbox_user_id_unknown on {schema}.outbox (event_id) where user_id is null",
    )


def ddl_relay(schema: str) -> tuple[str, ...]:
    """What the relay needs, for a later migration of that service: why an event is delivered no more, and whose turn it is to deliver; one
    row. Histories that have run it rely on it as it is."""
    return (
        f"alter table {schema}.outbox add column set_aside text",
        f"create index idx_outbox_set_aside on {schema}.outbox (event_id) where set_aside is not null",
        f"""
        create table {schema}.relay (
            only_one boolean primary key default true check (only_one),
            owner_id uuid,
            until timestamptz not null default '-infinity'
        )
        """,
        f"insert into {schema}.relay default values",
    )
