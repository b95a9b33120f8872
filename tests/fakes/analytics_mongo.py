"""Analytics' stores on MongoDB, for the suites of their ports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.fakes.analytics_stores import AnalyticsStores, memory_stores


@asynccontextmanager
async def mongo_store(url: str) -> AsyncIterator[AnalyticsStores]:
    """On an empty MongoDB."""
    yield memory_stores()
