"""Pages of documents, newest first, that stay below what a response has room for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from services.kernel.paging import PageRequest

# Clients take 4 MiB at once by default.
_PAGE_BYTES = 3 * 1024**2


async def newest_first(
    collection: AsyncCollection[dict[str, Any]], wanted: dict[str, Any], page: PageRequest
) -> tuple[list[dict[str, Any]], str | None, int]:
    """The documents of a page, the key of the last one when more follow, and how many the list has in all.

    Keys and sizes are read first, so that no more is fetched than a response has room for.
    """
    later = wanted if page.after is None else {**wanted, "_id": {"$lt": page.after}}
    keys = collection.find(later, {"size": 1}).sort("_id", -1).skip(page.skip).limit(page.size + 1)
    sized = [(document["_id"], document["size"]) async for document in keys]
    ids = fitting(sized, page.size)
    found = await collection.find({**wanted, "_id": {"$in": ids}}).sort("_id", -1).to_list() if ids else []
    total = await collection.count_documents(wanted)
    return found, ids[-1] if len(sized) > len(ids) else None, total


def fitting(sized: Sequence[tuple[str, int]], most: int) -> list[str]:
    """The keys of the first documents, as many as a page has room for, and at least one."""
    keys: list[str] = []
    room = _PAGE_BYTES
    for key, size in sized[:most]:
        room -= size
        if room < 0 and keys:
            break
        keys.append(key)
    return keys
