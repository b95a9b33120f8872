"""Makes new connections ready for batches."""

from __future__ import annotations

from services.analytics.stores.ingest import RECORD, record_values
from services.infra.postgres.database import Connection


async def warm(connection: Connection) -> None:
    """Prepare a new connection for storing batches, by storing an empty one."""
    await RECORD.execute(connection, record_values((), {}))
