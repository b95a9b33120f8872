"""API keys, revocations, the audit trail, failed logins and rate limits."""

from __future__ import annotations

from alembic import op

from services.capabilities.limits import ddl as limits

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # `revocation_id` is the person's last revocation; tokens say which one they know of.
    op.execute("alter table auth.users add column revocation_id bigint not null default 0")

    # Logging in notes this from now on; who did so before knows the password as well.
    op.execute("""
        update auth.users set password_shown = true
            where not password_shown and id in (select user_id from auth.sessions)
    """)

    # The newest token of each login session that was not revoked: what there is to list.
    op.execute("""
        create index idx_sessions_living on auth.sessions (user_id, family_id desc)
            where rotated_at is null and not revoked
    """)

    # `secret` and `old_secret` are SHA-256 digests of whole keys.
    op.execute("""
        create table auth.api_keys (
            id uuid primary key,
            user_id uuid not null references auth.users (id) on delete cascade,
            public_id text not null,
            display_name text not null,
            scopes text[] not null,
            secret bytea not null check (octet_length(secret) = 32),
            old_secret bytea check (octet_length(old_secret) = 32),
            old_expires_at timestamptz,
            created_at timestamptz not null default now(),
            rotated_at timestamptz,
            expires_at timestamptz,
            last_used_at timestamptz,
            revoked_at timestamptz
        )
    """)
    op.execute("create unique index idx_api_keys_public_id on auth.api_keys (public_id)")
    op.execute("create index idx_api_keys_user_id on auth.api_keys (user_id, id desc)")
    # What there is to forget: keys that have ended, and old secrets whose grace has.
    op.execute("create index idx_api_keys_end on auth.api_keys (least(revoked_at, expires_at))")
    op.execute("""
        create index idx_api_keys_old_expires_at on auth.api_keys (old_expires_at) where old_secret is not null
    """)

    # Rows come in the order of their ids: whoever adds one holds a lock until the end of its transaction. A row is of no more
    # use once it has expired; one of a deleted person stays, for services that were away.
    op.execute("""
        create table auth.revocations (
            id bigint generated always as identity primary key,
            kind text not null check (kind in ('session', 'user', 'user_deleted', 'api_key')),
            subject_id uuid not null,
            revoked_at timestamptz not null,
            expires_at timestamptz not null
        )
    """)
    op.execute("create index idx_revocations_expires_at on auth.revocations (expires_at)")

    # Lives of the access tokens that were signed lately, as the setting may change.
    op.execute("""
        create table auth.token_lives (
            life interval primary key,
            signed_at timestamptz not null
        )
    """)

    op.execute("""
        create table auth.audit_events (
            id uuid primary key,
            action text not null,
            actor_id uuid,
            user_id uuid,
            address text not null,
            attributes jsonb not null default '{}',
            created_at timestamptz not null default now()
        )
    """)
    op.execute("create index idx_audit_events_user_id on auth.audit_events (user_id, id desc)")
    op.execute("create index idx_audit_events_actor_id on auth.audit_events (actor_id, id desc)")
    op.execute("""
        create function auth.refuse_change() returns trigger language plpgsql as
        $$ begin raise exception 'the audit trail is append-only'; end $$
    """)
    op.execute("""
        create trigger audit_events_append_only before update or delete or truncate on auth.audit_events
            for each statement execute function auth.refuse_change()
    """)

    # A row per account, or address, that logins failed for lately; `subject` is a keyed digest. It need not outlive a crash.
    op.execute("""
        create unlogged table auth.login_failures (
            subject bytea primary key check (octet_length(subject) = 32),
            failures integer not null,
            failed_at timestamptz not null,
            delayed_until timestamptz
        )
    """)
    op.execute("create index idx_login_failures_failed_at on auth.login_failures (failed_at)")

    for statement in limits.ddl("auth"):
        op.execute(statement)


def downgrade() -> None:
    for table in ("limits", "login_failures", "audit_events", "token_lives", "revocations", "api_keys"):
        op.execute(f"drop table auth.{table}")
    op.execute("drop function auth.refuse_change()")
    op.execute("drop index auth.idx_sessions_living")
    op.execute("alter table auth.users drop column revocation_id")
