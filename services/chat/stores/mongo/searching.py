"""Finds messages by their words: an index finds those that have them, and the newest of these are ranked here."""

from __future__ import annotations

import asyncio
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ExecutionTimeout

from services.chat.errors import SearchesOverloaded
from services.chat.model import Message
from services.chat.stores.mongo.contents import message_of
from services.chat.stores.mongo.pages import fitting
from services.chat.words import Wanted
from services.kernel.paging import Page, PageRequest

MOST_RANKED = 1_000
"""Of more hits the older ones are not found."""

_BYTES_RANKED = 16 * 1024**2
# The server gives up a search before its caller does.
_MOST_MILLISECONDS = 10_000
# So much is looked at without a pause for others.
_BYTES_AT_ONCE = 200_000


async def search(
    database: AsyncDatabase[dict[str, Any]], user_id: str, session_id: str, query: str, page: PageRequest
) -> Page[Message]:
    """A page of hits. Its key is the score of the last one and its id. Raises SearchesOverloaded when it takes too long."""
    wanted = Wanted.of(query)
    if not wanted.words:
        return Page([])
    try:
        ranked = await _ranked(database, user_id, session_id, wanted)
    except ExecutionTimeout:
        raise SearchesOverloaded from None
    if page.after is not None:
        score, id_ = page.after.split()
        ranked = [hit for hit in ranked if hit[:2] < (float(score), id_)]
    ranked = ranked[page.skip :]
    ids = fitting([(id_, size) for _, id_, size in ranked[: page.size + 1]], page.size)
    if not ids:
        return Page([])
    found = {
        document["_id"]: message_of(document)
        async for document in database["chat_messages"].find({"_id": {"$in": ids}})
    }
    # One that was deleted meanwhile is left out.
    items = [found[id_] for id_ in ids if id_ in found]
    last = ranked[len(ids) - 1]
    return Page(items, f"{last[0]!r} {last[1]}" if len(ranked) > len(ids) else None)


async def _ranked(
    database: AsyncDatabase[dict[str, Any]], user_id: str, session_id: str, wanted: Wanted
) -> list[tuple[float, str, int]]:
    """Score, id and size of the hits, best first and the newer one of equals."""
    having: dict[str, Any] = {"user_id": user_id, "words": {"$all": list(wanted.words)}}
    if session_id:
        having["session_id"] = session_id
    hits: list[tuple[float, str, int]] = []
    sessions: list[str] = []
    room, unpaused = _BYTES_RANKED, 0
    fields = {"texts": 1, "size": 1, "session_id": 1}
    candidates = (
        database["chat_messages"]
        .find(having, fields, allow_disk_use=True, max_time_ms=_MOST_MILLISECONDS)
        .sort("_id", -1)
        .limit(MOST_RANKED)
        .batch_size(50)
    )
    async for document in candidates:
        room -= document["size"]
        if room < 0 and hits:
            await candidates.close()
            break
        score = wanted.score(" ".join(document["texts"]))
        if score is not None:
            hits.append((score, document["_id"], document["size"]))
            sessions.append(document["session_id"])
        unpaused += document["size"]
        if unpaused > _BYTES_AT_ONCE:
            unpaused = 0
            await asyncio.sleep(0)
    # What a deletion has still to remove is gone already, and a fork that still copies is not there yet.
    there = {
        found["_id"]
        async for found in database["chat_sessions"].find(
            {"_id": {"$in": list(set(sessions))}, "deleted": {"$ne": True}, "pending": None}, {"_id": 1}
        )
    }
    kept = [hit for hit, session in zip(hits, sessions, strict=True) if session in there]
    return sorted(kept, key=lambda hit: hit[:2], reverse=True)
