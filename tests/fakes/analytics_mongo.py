"""Analytics' stores on MongoDB, for the suites of their ports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

from services.analytics.stores.mongo.deletions import MongoAnalyticsDeletions
from services.analytics.stores.mongo.layout import ANALYTICS_INDEXES
from services.analytics.stores.mongo.prices import MongoPriceStore
from services.analytics.stores.mongo.usage import MongoUsageStore
from services.infra.mongo.client import Mongo
from tests.fakes.analytics_stores import AnalyticsStores


@asynccontextmanager
async def mongo_store(url: str) -> AsyncIterator[AnalyticsStores]:
    """On an empty MongoDB."""
    async with Mongo(url) as mongo:
        await mongo.ensure_indexes(ANALYTICS_INDEXES)
        yield on_mongo(mongo)


def on_mongo(mongo: Mongo) -> AnalyticsStores:
    """The stores of one process."""
    usage = MongoUsageStore(mongo, event_retention=timedelta(days=90), figure_retention=timedelta(days=1096))
    return AnalyticsStores(
        usage, MongoPriceStore(mongo), MongoAnalyticsDeletions(mongo), partial(_damage, mongo)
    )


async def _damage(mongo: Mongo) -> None:
    await mongo["analytics_figures"].update_many({}, {"$inc": {"events": 1, "quantities.2": 7}})


async def long_folded(mongo: Mongo) -> None:
    """Have all that is folded have been so for an hour."""
    await mongo["analytics_batches"].update_many(
        {"folded_at": {"$exists": True}}, {"$set": {"folded_at": datetime.now(UTC) - timedelta(hours=1)}}
    )


async def dumped(mongo: Mongo) -> str:
    """Every document, bytes as they are."""
    names = await mongo.database.list_collection_names()
    return "\n".join([str(found) for name in names async for found in mongo[name].find()])
