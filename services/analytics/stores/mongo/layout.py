"""The collections' indexes, one for each question that is asked of them; and the tables of figures."""

from __future__ import annotations

from pymongo import IndexModel

from services.analytics.stores.covering import Grain

PEOPLE_TABLES = {Grain.DAY: "people_days", Grain.QUARTER: "people_quarters"}
SYSTEM_TABLES = {
    Grain.DAY: "system_days",
    Grain.QUARTER: "system_quarters",
    Grain.MINUTE: "system_minutes",
}
"""Figures that tell people apart, and those that do not."""

MINUTE = 60_000_000
DAY_MINUTES = 1440
"""Microseconds of a minute, and minutes of a day."""

ANALYTICS_INDEXES = {
    "analytics_batches": [
        IndexModel([("ids", 1)], name="ids", unique=True),
        IndexModel([("minutes", 1)], name="minutes"),
        IndexModel([("parts.user_id", 1)], name="people"),
        IndexModel([("last_id", 1)], name="last_id"),
        IndexModel([("fold", 1), ("folded_at", 1)], name="fold", sparse=True),
    ],
    "analytics_figures": [
        IndexModel([("table", 1), ("at", 1)], name="at"),
        IndexModel(
            [("user_id", 1), ("table", 1), ("at", 1)],
            name="people",
            partialFilterExpression={"user_id": {"$gt": ""}},
        ),
        IndexModel([("day", 1), ("version", 1)], name="versions"),
    ],
    "analytics_days": [IndexModel([("version", 1)], name="version")],
    "analytics_rejected": [
        # Sparse and not partial where it is unique: with that, servers that speak the protocol without being MongoDB agree.
        IndexModel([("digest", 1)], name="digest", unique=True, sparse=True),
        IndexModel([("user_id", 1)], name="people", sparse=True),
        IndexModel([("received_at", 1)], name="received_at"),
    ],
    "analytics_prices": [
        IndexModel(
            [("model", 1), ("unit", 1), ("variant", 1), ("effective_at", 1)], name="price", unique=True
        )
    ],
}
