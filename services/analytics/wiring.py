"""Puts Analytics together."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

import structlog
from prometheus_client import CollectorRegistry

from services.analytics.metrics import AnalyticsMetrics
from services.analytics.ports import ServiceBooks, UsageStore
from services.analytics.servicer import AnalyticsServicer, UseCases
from services.analytics.sink import LocalSink
from services.analytics.stores.opening import NAME, Stores, opened, retentions
from services.analytics.stores.warming import warm
from services.analytics.usecases.export_events import ExportEvents
from services.analytics.usecases.prices import CatalogPrices, ListPrices, SetPrice
from services.analytics.usecases.reckoning import Reckoning
from services.analytics.usecases.reconcile import Reconcile
from services.analytics.usecases.record_events import RecordEvents
from services.analytics.usecases.rejected_events import ListRejectedEvents
from services.analytics.usecases.reports import (
    GetServiceAnalytics,
    GetSystemAnalytics,
    GetUsage,
    GetUserAnalytics,
    QueryUsage,
)
from services.analytics.usecases.watch_usage import Watchers, WatchUsage
from services.capabilities.identity.deletions import SETTLE_SECONDS, DeletionFollower
from services.capabilities.identity.ports import RevocationSource
from services.capabilities.metering.model import ServiceType
from services.infra.postgres.database import Database
from services.kernel.errors import Unavailable
from services.kernel.paging import PageTokens
from services.kernel.secret import DeploymentSecret
from services.runtime.metrics import Metrics
from services.runtime.mounted import Mounted
from services.runtime.tasks import TasksCheck, running
from services.settings import Settings

log = structlog.get_logger(__name__)

_TIDY_SECONDS = 15.0
_REST_SECONDS = 1.0

# Has every connection of the pool prepare the statements of an ingest.
warm_connection = warm


@dataclass(frozen=True, slots=True)
class Analytics:
    """Analytics, ready to take events, and to be served once it is told whose books there are: the services that have them deliver to it."""

    _parts: _Parts

    def sink(self, source: str) -> LocalSink:
        """Where a service of this process delivers its events."""
        return LocalSink(self._parts.record, source)

    @asynccontextmanager
    async def serving(self, books: Mapping[ServiceType, ServiceBooks]) -> AsyncIterator[Mounted]:
        """What the runtime serves, while the block runs."""
        parts = self._parts
        catalogs = CatalogPrices(list(books.values()), parts.stores.prices, _now)
        async with running(
            tidying=_tidied(parts.stores.usage),
            watchers=parts.watchers.run(),
            prices=catalogs.run(),
            deletions=parts.deletions.run(),
            cost=parts.metrics.follow(parts.reckon, _now),
        ) as tasks:
            yield Mounted(
                name=NAME,
                servicers={
                    "antiphon.analytics.v1.AnalyticsService": AnalyticsServicer(parts.use_cases(books), _now)
                },
                checks=(parts.stores.check, TasksCheck(tasks)),
                drain=parts.drain,
                limits=parts.stores.limits,
            )


@asynccontextmanager
async def build(
    settings: Settings,
    database: Database | None,
    secret: DeploymentSecret,
    *,
    sole_owner: bool,
    revocations: RevocationSource,
    metrics: Metrics | None = None,
) -> AsyncIterator[Analytics]:
    """Analytics on an open database.

    With ANTIPHON_ANALYTICS__STORE=mongo there need be no `database`: Analytics opens its MongoDB itself. `sole_owner` says that no other
    process can be at work on this database; `revocations` tells who was deleted, and has to outlive the block. Raises StartupError.
    """
    async with opened(
        settings,
        database,
        limits_key=secret.derive("analytics.limits"),
        sole_owner=sole_owner,
        metrics=metrics,
    ) as stores:
        registry = CollectorRegistry() if metrics is None else metrics.registry
        yield Analytics(_Parts(settings, stores, secret, revocations, AnalyticsMetrics(registry)))


class _Parts:
    """What several use cases are made of."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        secret: DeploymentSecret,
        revocations: RevocationSource,
        metrics: AnalyticsMetrics,
    ) -> None:
        self.stores = stores
        self.metrics = metrics
        self.retention, _ = retentions(settings.analytics)
        self.reckon = Reckoning(stores.usage, stores.prices)
        self.watchers = Watchers(stores.usage, _now, settings.analytics.max_watchers)
        self.record = RecordEvents(
            stores.usage, _now, self.retention, metrics.recorded, self.watchers.may_have_changed
        )
        self.deletions = DeletionFollower(
            revocations, stores.deletions, settle=SETTLE_SECONDS + settings.identity.offline_grace
        )
        self._pages = PageTokens(secret.derive("analytics.pages"))

    async def drain(self, grace: float) -> None:
        """Watchers would hold a stop up for its whole grace period."""
        self.watchers.close()

    def use_cases(self, books: Mapping[ServiceType, ServiceBooks]) -> UseCases:
        """What AnalyticsService can do."""
        usage, prices = self.stores.usage, self.stores.prices
        return UseCases(
            record=self.record,
            user=GetUserAnalytics(self.reckon),
            service=GetServiceAnalytics(self.reckon),
            system=GetSystemAnalytics(self.reckon, usage),
            usage=GetUsage(self.reckon),
            query=QueryUsage(self.reckon),
            watch=WatchUsage(self.reckon, self.watchers, _now),
            export=ExportEvents(usage, prices, _now, self.retention),
            reconcile=Reconcile(books, usage, _now, self.retention),
            list_prices=ListPrices(prices, self._pages),
            set_price=SetPrice(prices, _now),
            rejected=ListRejectedEvents(usage, self._pages),
        )


async def _tidied(store: UsageStore) -> NoReturn:
    """Have the store tidy up now and then, in no step with other replicas, and soon when much has come in."""
    while True:
        try:
            await store.tidy()
        except Unavailable as error:
            log.info("events and figures can't be tidied now", why=error.message)
        except Exception:
            # Nobody waits for this, and the next round may fare better.
            log.exception("events and figures can't be tidied")
        await asyncio.sleep(_REST_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TIDY_SECONDS * random.uniform(0.75, 1.25)):  # noqa: S311 - it only spreads the work.
                await store.untidy()


def _now() -> datetime:
    return datetime.now(UTC)
