"""What operators do on the server beside the service."""

from __future__ import annotations

from collections.abc import Callable

from services.capabilities.blobs.ports import Blobs
from services.image.stores.records import SqlImageStore
from services.image.usecases.reindex import Reindex, Reindexed
from services.infra.postgres.database import Database


async def reindex_images(
    database: Database, blobs: Blobs, *, prune: bool, sure: bool, on_progress: Callable[[int], None]
) -> Reindexed:
    """Make the index of images anew from the objects; see `Reindex`. Raises Unavailable."""
    return await Reindex(SqlImageStore(database), blobs)(prune=prune, sure=sure, on_progress=on_progress)
