"""Analytics' stores on PostgreSQL, for the suites of their ports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from services.analytics.stores.deletions import SqlAnalyticsDeletions
from services.analytics.stores.layout import CALLER_TABLES, FIGURE_TABLES
from services.analytics.stores.prices import SqlPriceStore
from services.analytics.stores.usage import SqlUsageStore
from services.analytics.stores.warming import warm
from services.infra.postgres.database import Database
from tests.fakes.analytics_stores import AnalyticsStores

EVENT_RETENTION = timedelta(days=90)
FIGURE_RETENTION = timedelta(days=1096)


def usage_store(database: Database, event_retention: timedelta = EVENT_RETENTION) -> SqlUsageStore:
    """As a process opens it."""
    return SqlUsageStore(database, event_retention=event_retention, figure_retention=FIGURE_RETENTION)


@asynccontextmanager
async def sql_store(url: str) -> AsyncIterator[AnalyticsStores]:
    """On a migrated database."""
    async with Database(url, warm=[warm]) as database:

        async def damage() -> None:
            async with database.connection() as connection:
                for table in (*FIGURE_TABLES, "unfolded"):
                    used = "" if table in CALLER_TABLES.values() else ", output_tokens = output_tokens + 7"
                    await connection.execute(
                        f"update analytics.{table} set events = events + 1{used}".encode()
                    )

        yield AnalyticsStores(
            usage_store(database), SqlPriceStore(database), SqlAnalyticsDeletions(database), damage
        )
