"""Accounts, login sessions, signing keys and claims."""

from __future__ import annotations

from alembic import op

from services.capabilities.claims import sql as claims

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The keys are what the texts are compared by: without case, in one Unicode form. `password_shown` is false for the first
    # administrator until somebody has been shown the password.
    op.execute("""
        create table auth.users (
            id uuid primary key,
            email varchar(255) not null,
            email_key text not null,
            username varchar(64),
            username_key text,
            display_name text not null default '',
            password_hash varchar(255) not null,
            password_shown boolean not null default true,
            role text not null check (role in ('user', 'admin', 'service')),
            disabled boolean not null default false,
            created_at timestamptz not null default now(),
            updated_at timestamptz not null default now(),
            check ((username is null) = (username_key is null))
        )
    """)
    op.execute("create unique index idx_users_email on auth.users (email_key)")
    op.execute("create unique index idx_users_username on auth.users (username_key)")
    op.execute("create index idx_users_administrators on auth.users (id) where role = 'admin'")

    # A row per refresh token; those of one login session share its `family_id`, and all but the newest are rotated.
    # `successor` is the next token, encrypted for whoever has this one.
    op.execute("""
        create table auth.sessions (
            id uuid primary key,
            family_id uuid not null,
            user_id uuid not null references auth.users (id) on delete cascade,
            refresh_token bytea not null check (octet_length(refresh_token) = 32),
            device_name text not null default '',
            started_at timestamptz not null,
            created_at timestamptz not null default now(),
            expires_at timestamptz not null,
            rotated_at timestamptz,
            successor_id uuid,
            successor bytea,
            revoked boolean not null default false,
            revoked_at timestamptz
        )
    """)
    op.execute("create unique index idx_sessions_refresh_token on auth.sessions (refresh_token)")
    op.execute("create index idx_sessions_user_id on auth.sessions (user_id)")
    op.execute("create index idx_sessions_family_id on auth.sessions (family_id)")
    op.execute("create index idx_sessions_expires_at on auth.sessions (expires_at)")

    op.execute("""
        create table auth.signing_keys (
            kid text primary key,
            state text not null check (state in ('next', 'active', 'retired')),
            private_pem bytea not null,
            public_pem text not null,
            created_at timestamptz not null default now(),
            activated_at timestamptz,
            retired_at timestamptz
        )
    """)
    op.execute(
        "create unique index idx_signing_keys_active on auth.signing_keys (state) where state = 'active'"
    )
    op.execute("create unique index idx_signing_keys_next on auth.signing_keys (state) where state = 'next'")

    for statement in claims.ddl("auth"):
        op.execute(statement)


def downgrade() -> None:
    for table in ("claims", "signing_keys", "sessions", "users"):
        op.execute(f"drop table auth.{table}")
