"""What finds Chat's sessions and messages, beside their ids."""

from __future__ import annotations

from pymongo import IndexModel

_CLAIMED = {"claim": {"$exists": True}}

SESSION_INDEXES = {
    "chat_sessions": (
        IndexModel([("user_id", 1), ("_id", -1)], name="of_user"),
        # What was begun and is not finished, which is hardly ever anything.
        IndexModel([("user_id", 1), ("pending", 1)], name="unfinished"),
        IndexModel([("pending", 1)], name="pending", sparse=True),
        IndexModel([("deleted_at", 1)], name="deleted_at", sparse=True),
        IndexModel([("claim", 1)], name="claim", unique=True, sparse=True),
        IndexModel([("created_at", 1)], name="claimed_at", partialFilterExpression=_CLAIMED),
    ),
    "chat_messages": (
        IndexModel([("session_id", 1), ("_id", -1)], name="of_session"),
        # With the order of the hits, so that a search for one word reads no more than it ranks.
        IndexModel([("user_id", 1), ("words", 1), ("_id", -1)], name="words_newest"),
        IndexModel([("claim", 1)], name="claim", unique=True, sparse=True),
        IndexModel([("created_at", 1)], name="claimed_at", partialFilterExpression=_CLAIMED),
    ),
}
"""Sparse where most documents lack the field; claims are unique among those that hold one."""
