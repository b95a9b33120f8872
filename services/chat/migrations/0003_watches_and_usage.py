"""Who watches from elsewhere, which model was asked first, and what the meter was told."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Who watches is forgotten in a crash, and tells it again.
    op.execute("""
        create unlogged table chat.watches (
            generation_id uuid not null,
            watcher_id uuid not null,
            expires_at timestamptz not null,
            primary key (generation_id, watcher_id)
        )
    """)

    # Null for those of an older version, which asked one model only.
    op.execute("alter table chat.generations add column requested_model text")
    # What the usage event says, so that it can be summed up: its id, its status, and the quantities by the number of their unit.
    op.execute("alter table chat.generations add column event_id uuid")
    op.execute("alter table chat.generations add column event_status smallint")
    op.execute("alter table chat.generations add column quantities bigint[]")
    op.execute(
        "create index idx_generations_event_id on chat.generations (event_id) where event_id is not null"
    )
    op.execute(
        "create index idx_generations_session_id on chat.generations (session_id) where session_id is not null"
    )


def downgrade() -> None:
    op.execute("drop index chat.idx_generations_session_id")
    op.execute("drop index chat.idx_generations_event_id")
    for column in ("quantities", "event_status", "event_id", "requested_model"):
        op.execute(f"alter table chat.generations drop column {column}")
    op.execute("drop table chat.watches")
