"""Sessions, messages, generations, their records, leases, claims and the outbox."""

from __future__ import annotations

from alembic import op

from services.capabilities.claims import sql as claims
from services.capabilities.metering import outbox

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        create table chat.sessions (
            session_id uuid primary key,
            user_id text not null,
            title text not null,
            project text not null,
            model text not null,
            system_prompt text not null,
            archived boolean not null default false,
            forked_from_session_id uuid,
            created_at timestamptz not null default now(),
            updated_at timestamptz not null default now()
        )
    """)
    op.execute("create index idx_sessions_user_id on chat.sessions (user_id, session_id desc)")

    # An answer of a call without a session is a message without one. Its id is chosen when its generation begins, so that
    # the order of ids is the order of turns even when answers end in another one.
    op.execute("""
        create table chat.messages (
            message_id uuid primary key,
            session_id uuid references chat.sessions on delete cascade,
            role text not null,
            texts text[] not null,
            tool_calls jsonb not null default '[]',
            tool_call_id text not null default '',
            generation_id uuid,
            model text not null default '',
            finish_reason text,
            created_at timestamptz not null default now()
        )
    """)
    op.execute("create index idx_messages_session_id on chat.messages (session_id, message_id desc)")

    op.execute("""
        create table chat.leases (
            owner_id uuid primary key,
            epoch bigint not null,
            expires_at timestamptz not null
        )
    """)

    op.execute("""
        create table chat.generations (
            generation_id uuid primary key,
            session_id uuid,
            message_id uuid not null,
            user_id text not null,
            api_key_id text not null,
            input_tokens_estimate bigint not null,
            caller text not null,
            request_id uuid,
            operation text not null,
            project text not null,
            model text not null,
            provider text not null,
            state text not null check (state in ('running', 'completed', 'cancelled', 'failed', 'interrupted')),
            finish_reason text,
            failure jsonb,
            usage bytea,
            reasoning text not null default '',
            last_seq bigint not null,
            owner_id uuid not null,
            epoch bigint not null,
            cancel_requested boolean not null default false,
            events_pruned boolean not null default false,
            created_at timestamptz not null,
            ended_at timestamptz
        )
    """)
    op.execute("create index idx_generations_running on chat.generations (owner_id) where state = 'running'")
    op.execute("""
        create index idx_generations_prunable on chat.generations (ended_at)
            where ended_at is not null and not events_pruned
    """)
    op.execute("""
        create index idx_generations_without_session on chat.generations (ended_at)
            where session_id is null and ended_at is not null
    """)

    # A row per generation and flush; `payload` is its events, serialized one after the other, each with its length before it.
    op.execute("""
        create table chat.generation_events (
            generation_id uuid not null,
            first_seq bigint not null,
            seq bigint not null,
            payload bytea not null,
            primary key (generation_id, first_seq)
        )
    """)

    for statement in claims.ddl("chat"):
        op.execute(statement)
    op.execute(outbox.ddl("chat"))


def downgrade() -> None:
    for table in ("outbox", "claims", "generation_events", "generations", "leases", "messages", "sessions"):
        op.execute(f"drop table chat.{table}")
