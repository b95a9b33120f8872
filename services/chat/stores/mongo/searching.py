"""Finds messages by their words: an index finds those that have them, and the newest of these are ranked here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pymongo.asynchronous.database import AsyncDatabase

from services.chat.model import Message
from services.chat.stores.mongo.contents import message_of, words_in
from services.chat.stores.mongo.pages import fitting
from services.kernel.paging import Page, PageRequest

MOST_RANKED = 1_000
"""Of more hits the older ones are not found."""

_BYTES_RANKED = 16 * 1024**2
_MOST_ASKED = 100


async def search(
    database: AsyncDatabase[dict[str, Any]], user_id: str, session_id: str, query: str, page: PageRequest
) -> Page[Message]:
    """A page of hits. Its key is the rank of the last one, which depends on nothing but its text and the query, and its id."""
    asked = list(dict.fromkeys(words_in(query)))[:_MOST_ASKED]
    if not asked:
        return Page([])
    ranked = await _ranked(database, user_id, session_id, asked)
    if page.after is not None:
        rank, id_ = page.after.split()
        ranked = [hit for hit in ranked if hit[:2] < (float(rank), id_)]
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
    database: AsyncDatabase[dict[str, Any]], user_id: str, session_id: str, asked: Sequence[str]
) -> list[tuple[float, str, int]]:
    """Rank, id and size of the hits, best first and the newer one of equals."""
    wanted: dict[str, Any] = {"user_id": user_id, "words": {"$all": asked}}
    if session_id:
        wanted["session_id"] = session_id
    hits: list[tuple[float, str, int]] = []
    sessions: list[str] = []
    room = _BYTES_RANKED
    fields = {"texts": 1, "size": 1, "session_id": 1}
    candidates = (
        database["chat_messages"].find(wanted, fields).sort("_id", -1).limit(MOST_RANKED).batch_size(50)
    )
    async for document in candidates:
        room -= document["size"]
        if room < 0 and hits:
            await candidates.close()
            break
        hits.append((_rank(document, asked), document["_id"], document["size"]))
        sessions.append(document["session_id"])
    # What a deletion has still to remove is gone already, and a fork that still copies is not there yet.
    there = {
        found["_id"]
        async for found in database["chat_sessions"].find(
            {"_id": {"$in": list(set(sessions))}, "deleted": {"$ne": True}, "pending": None}, {"_id": 1}
        )
    }
    kept = [hit for hit, session in zip(hits, sessions, strict=True) if session in there]
    return sorted(kept, key=lambda hit: hit[:2], reverse=True)


def _rank(document: Mapping[str, Any], asked: Sequence[str]) -> float:
    """The more often the words are said the better, by the logarithm, and the shorter the text is that says them."""
    counts = Counter(words_in(" ".join(document["texts"])))
    said = sum(math.log1p(counts[word]) for word in asked)
    return round(said / (1 + math.log1p(counts.total())), 9)
