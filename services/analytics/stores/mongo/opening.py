"""Opens Analytics' MongoDB."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.analytics.stores.mongo.deletions import MongoAnalyticsDeletions
from services.analytics.stores.mongo.layout import ANALYTICS_INDEXES
from services.analytics.stores.mongo.prices import MongoPriceStore
from services.analytics.stores.mongo.usage import MongoUsageStore
from services.analytics.stores.opening import NAME, Stores, retentions
from services.capabilities.limits import wiring as limits_wiring
from services.infra.mongo.checks import MongoCheck
from services.infra.mongo.client import Mongo
from services.runtime.metrics import Metrics
from services.settings import Settings

_log = logging.getLogger(__name__)


@asynccontextmanager
async def opened(settings: Settings, *, limits_key: bytes, metrics: Metrics | None) -> AsyncIterator[Stores]:
    """The stores, while the block runs; indexes that are missing are made. Raises StartupError."""
    assert settings.mongo.url is not None
    mongo = Mongo(settings.mongo.url.get_secret_value(), settings.mongo.connect_timeout)
    await mongo.open(settings.database.start_timeout, _log.warning)
    try:
        await mongo.ensure_indexes(ANALYTICS_INDEXES)
        events, figures = retentions(settings.analytics)
        # Others may be at work on it: nothing tells.
        async with limits_wiring.build(
            settings.limits, mongo, NAME, key=limits_key, sole_owner=False, metrics=metrics
        ) as limits:
            yield Stores(
                MongoUsageStore(mongo, event_retention=events, figure_retention=figures),
                MongoPriceStore(mongo),
                MongoAnalyticsDeletions(mongo),
                limits,
                MongoCheck(mongo),
            )
    finally:
        await mongo.close()
