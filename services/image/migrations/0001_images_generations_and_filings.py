"""Images, the calls that make them, what is to be filed in the object store, claims, limits, deletions and the outbox."""

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
    # What was asked for in words stands with the images alone. `image_ids` are chosen at the beginning, so that whatever a generation
    # leaves in the object store can be found. `expires_at` is until when its owner has it, null once it has ended. The last columns say
    # what its usage event says, so that it can be summed up.
    op.execute("""
        create table image.generations (
            generation_id uuid primary key,
            image_ids uuid[] not null,
            user_id text not null,
            api_key_id text not null,
            caller text not null,
            request_id uuid,
            size text not null,
            style text not null,
            model text not null,
            provider text not null,
            seed bigint,
            count integer not null,
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
            images bigint
        )
    """)
    op.execute(
        "create index idx_generations_running on image.generations (expires_at) where state = 'running'"
    )
    op.execute(
        "create index idx_generations_event_id on image.generations (event_id) where event_id is not null"
    )
    op.execute("create index idx_generations_user_id on image.generations (user_id) where user_id <> ''")
    op.execute(
        "create index idx_generations_created_at on image.generations (created_at) where state <> 'running'"
    )

    op.execute("""
        create table image.images (
            image_id uuid primary key,
            generation_id uuid not null,
            user_id text not null,
            api_key_id text not null,
            request_id text not null,
            prompt text not null,
            negative_prompt text not null,
            size text not null,
            style text not null,
            model text not null,
            provider text not null,
            seed bigint,
            index integer not null,
            width integer not null,
            height integer not null,
            sha256 bytea not null,
            size_bytes bigint not null,
            revised_prompt text not null,
            processing_time_ms bigint not null,
            created_at timestamptz not null
        )
    """)
    op.execute("create index idx_images_user_id on image.images (user_id, image_id desc)")
    op.execute("create index idx_images_generation_id on image.images (generation_id, index)")
    op.execute("create index idx_images_anonymous on image.images (created_at) where user_id = ''")

    # What is still to be done in the object store. Filings of a group are one process's at a time. No two states of a filing have the same
    # revision, also when one was forgotten between them: whoever was away long finds nothing that it takes for its own.
    op.execute("""
        create table image.filings (
            image_id uuid primary key,
            group_key text not null,
            user_id text not null,
            day date not null,
            change text not null check (change in ('add', 'remove', 'discard')),
            revision bigint not null generated always as identity,
            attempts integer not null default 0,
            again integer not null default 0,
            due_at timestamptz not null default now()
        )
    """)
    op.execute("create index idx_filings_due_at on image.filings (due_at)")
    op.execute("create index idx_filings_group_key on image.filings (group_key, image_id)")
    op.execute("""
        create unlogged table image.filing_leases (
            group_key text primary key,
            lease_id uuid not null,
            expires_at timestamptz not null
        )
    """)

    for statement in (*claims.ddl("image"), *limits.ddl("image"), *deletions.ddl("image")):
        op.execute(statement)
    op.execute(outbox.ddl("image"))
    for statement in (*outbox.ddl_people("image"), *outbox.ddl_relay("image")):
        op.execute(statement)


def downgrade() -> None:
    for table in (
        "relay",
        "outbox",
        "deletions",
        "limits",
        "claims",
        "filing_leases",
        "filings",
        "images",
        "generations",
    ):
        op.execute(f"drop table image.{table}")
