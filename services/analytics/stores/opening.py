"""Opens what keeps Analytics' data: PostgreSQL or MongoDB, as the settings say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from services.analytics.ports import PriceStore, UsageStore
from services.analytics.stores.deletions import SqlAnalyticsDeletions
from services.analytics.stores.prices import SqlPriceStore
from services.analytics.stores.usage import SqlUsageStore
from services.capabilities.identity.deletions import Deletions
from services.capabilities.limits import wiring as limits_wiring
from services.infra.postgres.checks import DatabaseCheck
from services.infra.postgres.database import Database
from services.kernel.health import HealthCheck
from services.kernel.limits import RateLimits
from services.runtime.metrics import Metrics
from services.settings import AnalyticsSettings, Settings

NAME = "analytics"
_LONGEST = timedelta(days=50 * 365)


@dataclass(frozen=True, slots=True)
class Stores:
    """What keeps Analytics' data."""

    usage: UsageStore
    prices: PriceStore
    deletions: Deletions
    limits: RateLimits
    check: HealthCheck


def opened(
    settings: Settings,
    database: Database | None,
    *,
    limits_key: bytes,
    sole_owner: bool,
    metrics: Metrics | None,
) -> AbstractAsyncContextManager[Stores]:
    """The stores, while the block runs. `database` is open and has the schema `analytics`; with MongoDB there need be none. `limits_key` is
    what accounts are counted under; `sole_owner` says that no other process can be at work on it. Raises StartupError."""
    if settings.analytics.store == "mongo":
        # Who does not use it need not wait until its driver is imported.
        from services.analytics.stores.mongo import opening as mongo

        return mongo.opened(settings, limits_key=limits_key, metrics=metrics)
    assert database is not None
    return _on_postgres(settings, database, limits_key, sole_owner, metrics)


@asynccontextmanager
async def _on_postgres(
    settings: Settings, database: Database, limits_key: bytes, sole_owner: bool, metrics: Metrics | None
) -> AsyncIterator[Stores]:
    events, figures = retentions(settings.analytics)
    async with limits_wiring.build(
        settings.limits, database, NAME, key=limits_key, sole_owner=sole_owner, metrics=metrics
    ) as limits:
        yield Stores(
            SqlUsageStore(database, event_retention=events, figure_retention=figures),
            SqlPriceStore(database),
            SqlAnalyticsDeletions(database),
            limits,
            DatabaseCheck(database),
        )


def retentions(settings: AnalyticsSettings) -> tuple[timedelta, timedelta]:
    """How long events and figures are kept; figures at least as long as events, and nothing longer than there are calendars."""
    events = min(timedelta(seconds=settings.event_retention), _LONGEST)
    return events, min(max(events, timedelta(seconds=settings.figure_retention)), _LONGEST)
