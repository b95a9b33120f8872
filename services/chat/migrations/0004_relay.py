"""Whose turn it is to deliver usage events, which of them are not delivered, and when their first token came."""

from __future__ import annotations

from alembic import op

from services.capabilities.metering import outbox

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in outbox.ddl_relay("chat"):
        op.execute(statement)
    # In microseconds from the beginning; null when nothing was streamed, and for those of an older version.
    op.execute("alter table chat.generations add column time_to_first_token bigint")


def downgrade() -> None:
    op.execute("alter table chat.generations drop column time_to_first_token")
    op.execute("drop table chat.relay")
    op.execute("drop index chat.idx_outbox_set_aside")
    op.execute("alter table chat.outbox drop column set_aside")
