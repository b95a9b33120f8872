"""Conversions, the calls that make them, objects that are due to go, claims, limits, deletions and the outbox."""

from __future__ import annotations

from alembic import op

from services.capabilities.claims import sql as claims
from services.capabilities.identity import deletions
from services.capabilities.limits import ddl as limits
from services.capabilities.metering import outbox

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A generation makes the conversion of its id; what was asked for in words stands with the conversion alone. `expires_at` is until when its
    # owner has it, null once it has ended. The last columns say what its usage event says, so that it can be summed up.
    op.execute("""
        create table speech.generations (
            generation_id uuid primary key,
            user_id text not null,
            api_key_id text not null,
            caller text not null,
            request_id uuid,
            operation text not null,
            asked_characters integer not null,
            model text not null,
            provider text not null,
            voice text not null,
            language text not null,
            format text not null,
            rate double precision not null,
            pitch double precision not null,
            state text not null check (state in ('running', 'completed', 'failed', 'cancelled', 'interrupted')),
            failure jsonb,
            owner_id uuid not null,
            expires_at timestamptz,
            created_at timestamptz not null,
            ended_at timestamptz,
            event_id uuid,
            event_status smallint,
            event_reason text,
            latency bigint,
            first_audio bigint,
            characters bigint,
            audio_milliseconds bigint
        )
    """)
    op.execute(
        "create index idx_generations_running on speech.generations (expires_at) where state = 'running'"
    )
    op.execute(
        "create index idx_generations_event_id on speech.generations (event_id) where event_id is not null"
    )
    op.execute("create index idx_generations_user_id on speech.generations (user_id) where user_id <> ''")
    op.execute(
        "create index idx_generations_created_at on speech.generations (created_at) where state <> 'running'"
    )

    # The first columns are the ones that other programs know: their names, kinds and defaults stay. `user_id` is `anonymous` for those of
    # nobody. Ours come behind them, each with a default, so that a row may be written without them; the id is a UUIDv7 then too, and
    # the row stands in its place in the pages.
    op.execute("""
        create table speech.tts_conversions (
            id bigserial primary key,
            user_id varchar(255) not null,
            text text not null,
            audio_url varchar(500) not null,
            model varchar(100) default 'gtts',
            voice varchar(100),
            language varchar(10) default 'en',
            duration_seconds decimal(10, 2),
            file_size_bytes bigint,
            s3_key varchar(500) not null,
            s3_bucket varchar(255),
            created_at timestamptz default now() not null,
            metadata json,
            conversion_id uuid not null default (
                lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
                || '7' || substr(replace(gen_random_uuid()::text, '-', ''), 14)
            )::uuid,
            api_key_id text not null default '',
            ssml text not null default '',
            format text not null default 'mp3' check (format in ('wav', 'mp3', 'ogg', 'flac')),
            sample_rate integer not null default 0,
            rate double precision not null default 1,
            pitch double precision not null default 0,
            characters integer not null default 0,
            sha256 bytea not null default ''
        )
    """)
    op.execute("create index idx_tts_conversions_user_id on speech.tts_conversions (user_id)")
    op.execute("create index idx_tts_conversions_created_at on speech.tts_conversions (created_at)")
    op.execute("create index idx_tts_conversions_id on speech.tts_conversions (id)")
    op.execute(
        "create unique index idx_tts_conversions_conversion_id on speech.tts_conversions (conversion_id)"
    )
    op.execute(
        "create index idx_tts_conversions_page on speech.tts_conversions (user_id, conversion_id desc)"
    )
    op.execute(
        "create index idx_tts_conversions_anonymous on speech.tts_conversions (created_at) where user_id = 'anonymous'"
    )

    # Objects that are due to go. `repeating` are those that went once, and are to go again since somebody may have written late. `taken` are
    # those that somebody removes, as far as nothing was written since that is due to go as well.
    op.execute("""
        create table speech.removals (
            conversion_id uuid primary key,
            day date not null,
            again integer not null default 0,
            taken boolean not null default false,
            repeating boolean not null default false,
            due_at timestamptz not null default now()
        )
    """)
    op.execute("create index idx_removals_due_at on speech.removals (due_at, conversion_id)")

    for statement in (*claims.ddl("speech"), *limits.ddl("speech"), *deletions.ddl("speech")):
        op.execute(statement)
    op.execute(outbox.ddl("speech"))
    for statement in (*outbox.ddl_people("speech"), *outbox.ddl_relay("speech")):
        op.execute(statement)


def downgrade() -> None:
    for table in (
        "relay",
        "outbox",
        "deletions",
        "limits",
        "claims",
        "removals",
        "tts_conversions",
        "generations",
    ):
        op.execute(f"drop table speech.{table}")
