"""Where the pictures of a message are among its texts."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A reference for each picture, and null for each text, which is in `texts`; null for messages without pictures. So an older version
    # reads the texts alone.
    op.execute("alter table chat.messages add column parts jsonb")


def downgrade() -> None:
    op.execute("alter table chat.messages drop column parts")
