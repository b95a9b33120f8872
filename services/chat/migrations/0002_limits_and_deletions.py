"""Rate limits, how far the deletions of people have been followed, and what finds the people in the outbox."""

from __future__ import annotations

from alembic import op

from services.capabilities.identity import deletions
from services.capabilities.limits import ddl as limits
from services.capabilities.metering import outbox

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in (*limits.ddl("chat"), *deletions.ddl("chat"), *outbox.ddl_people("chat")):
        op.execute(statement)
    # What a person made is found by the person.
    op.execute("create index idx_generations_user_id on chat.generations (user_id) where user_id <> ''")


def downgrade() -> None:
    op.execute("drop index chat.idx_generations_user_id")
    op.execute("alter table chat.outbox drop column user_id")
    for table in ("deletions", "limits"):
        op.execute(f"drop table chat.{table}")
