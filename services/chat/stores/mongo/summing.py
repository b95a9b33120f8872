"""What generations used, added up by the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pymongo.asynchronous.collection import AsyncCollection

from services.capabilities.metering.model import Unit, UsageStatus, UsageSummary
from services.chat.stores.mongo.documents import Document, quantities_of
from services.kernel.ids import first_id_at

_BY = ("user_id", "model", "event_status")


async def summarized(
    generations: AsyncCollection[Document], start: datetime, end: datetime, limit: int
) -> Sequence[UsageSummary]:
    """What the usage events made in [start, end) tell, by user, model and status, the first `limit` of it."""
    pipeline: list[Document] = [
        {"$match": {"event_id": {"$gte": first_id_at(start), "$lt": first_id_at(end)}}},
        {
            "$group": {
                "_id": {name: f"${name}" for name in _BY},
                "count": {"$sum": 1},
                **{unit.name: {"$sum": f"$quantities.{unit.name}"} for unit in Unit},
            }
        },
        {"$sort": {f"_id.{name}": 1 for name in _BY}},
        {"$limit": limit},
    ]
    cursor = await generations.aggregate(pipeline)
    return [
        UsageSummary(
            group["_id"]["user_id"],
            group["_id"]["model"],
            UsageStatus(group["_id"]["event_status"]),
            group["count"],
            quantities_of({unit.name: group[unit.name] for unit in Unit}),
        )
        async for group in cursor
    ]
