"""The indexes of generations, records, leases and watches: one for each question that is asked of them."""

from __future__ import annotations

from pymongo import IndexModel

_RUNNING = {"state": "running"}

# Those of a field that few documents have leave the others out. Sparse and not partial where it is unique: with that, servers that speak the
# protocol without being MongoDB agree.
GENERATION_INDEXES = {
    "chat_generations": [
        IndexModel([("claim", 1)], name="claim", unique=True, sparse=True),
        IndexModel(
            [("created_at", 1)], name="claimed_at", partialFilterExpression={"claim": {"$exists": True}}
        ),
        IndexModel([("owner_id", 1)], name="running", partialFilterExpression=_RUNNING),
        IndexModel(
            [("user_id", 1), ("unprojected", 1)],
            name="of_user",
            partialFilterExpression={"user_id": {"$gt": ""}},
        ),
        IndexModel([("session_id", 1), ("unprojected", 1)], name="of_session", sparse=True),
        IndexModel(
            [("events_pruned", 1), ("ended_at", 1)],
            name="to_prune",
            partialFilterExpression={"ended_at": {"$exists": True}},
        ),
        IndexModel(
            [("ended_at", 1)], name="loose_ended_at", partialFilterExpression={"loose": {"$exists": True}}
        ),
        IndexModel([("loose", 1)], name="loose", sparse=True),
        IndexModel([("event_id", 1)], name="usage", sparse=True),
        IndexModel([("unshipped", 1)], name="unshipped", sparse=True),
        # Of what waits alone, those that an older version has not marked first.
        IndexModel(
            [("unshipped", 1), ("event_id", 1)],
            name="unmarked",
            partialFilterExpression={"usage_event": {"$exists": True}},
        ),
    ],
    "chat_outbox": [
        IndexModel([("user_id", 1)], name="of_user", partialFilterExpression={"user_id": {"$gt": ""}}),
        IndexModel([("set_aside", 1)], name="set_aside", sparse=True),
    ],
    "chat_watches": [
        IndexModel([("g", 1)], name="of_generation"),
        # What a dead process left is removed by the server.
        IndexModel([("at", 1)], name="forgotten_at", expireAfterSeconds=3600),
    ],
}
