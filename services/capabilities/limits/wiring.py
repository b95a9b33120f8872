"""Puts a service's rate limits together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from prometheus_client import Counter

from services.capabilities.limits.model import CLASSES, WINDOW_SECONDS, Numbers
from services.capabilities.limits.ports import Counters
from services.capabilities.limits.stores.memory import MemoryCounters
from services.capabilities.limits.stores.sql import SqlCounters
from services.capabilities.limits.usecases import ClassLimits
from services.infra.postgres.database import Database
from services.kernel.errors import Unavailable
from services.kernel.limits import RateLimits
from services.runtime.metrics import Metrics
from services.settings import LimitSettings

if TYPE_CHECKING:
    from services.capabilities.limits.stores.mongo import MongoCounters
    from services.infra.mongo.client import Mongo

_log = logging.getLogger(__name__)


@asynccontextmanager
async def build(
    settings: LimitSettings,
    database: Database | Mongo,
    schema: str,
    *,
    key: bytes,
    sole_owner: bool,
    metrics: Metrics | None = None,
) -> AsyncIterator[RateLimits]:
    """The limits of the service that `schema` belongs to, while the block runs; counted in PostgreSQL or MongoDB, whichever it is given.

    `sole_owner` says that no other process can be at work on this database: counts are then kept in memory. `key` is what accounts are
    stored under, the same for all replicas.
    """
    tally = MetricsTally(schema, metrics)
    numbers = numbers_of(settings)
    if sole_owner or not any(one.known or one.anonymous for one in numbers.values()):
        memory = MemoryCounters()
        async with _pruned(memory):
            yield ClassLimits(memory, numbers, key, tally)
        return
    shared = _shared(database, schema)
    try:
        # A database that is away at this moment is no reason not to start: the first call asks again.
        with contextlib.suppress(Unavailable):
            await shared.warm()
        async with _pruned(shared):
            yield ClassLimits(shared, numbers, key, tally)
    finally:
        await shared.aclose()


def _shared(database: Database | Mongo, service: str) -> SqlCounters | MongoCounters:
    if isinstance(database, Database):
        return SqlCounters(database, service)
    # Who does not use MongoDB need not wait until its driver is imported.
    from services.capabilities.limits.stores.mongo import MongoCounters

    return MongoCounters(database, service)


def numbers_of(settings: LimitSettings) -> dict[str, Numbers]:
    """What the settings allow, by class."""
    found = {}
    for name in CLASSES:
        known: int = getattr(settings, name)
        found[name] = Numbers(known, getattr(settings, f"{name}_anonymous", known))
    return found


class MetricsTally:
    """The Tally on the page of metrics: `antiphon_limited_calls` by service, class and outcome."""

    def __init__(self, service: str, metrics: Metrics | None) -> None:
        self._service = service
        self._calls: Counter | None = None if metrics is None else metrics.limited_calls

    def refused(self, name: str) -> None:
        """See `Tally`."""
        self._add(name, "refused")

    def uncounted(self, name: str, *, passed: bool) -> None:
        """See `Tally`."""
        self._add(name, "passed uncounted" if passed else "refused uncounted")

    def _add(self, name: str, outcome: str) -> None:
        if self._calls is not None:
            self._calls.labels(self._service, name, outcome).inc()


@asynccontextmanager
async def _pruned(counters: Counters) -> AsyncIterator[None]:
    task = asyncio.create_task(_prune(counters), name="limits pruning")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _prune(counters: Counters) -> None:
    while True:
        await asyncio.sleep(WINDOW_SECONDS * random.uniform(0.75, 1.25))  # noqa: S311 - it only spreads the work.
        try:
            pruned = 1
            while pruned:
                pruned = await counters.prune()
                # Counts in memory do not suspend by themselves, and there may be many.
                await asyncio.sleep(0)
        except Unavailable as error:
            _log.info(
                "windows of limits that have ended could not be pruned now", extra={"why": error.message}
            )
        except Exception:
            # Nobody waits for this, and the next round may fare better.
            _log.warning("windows of limits that have ended could not be pruned", exc_info=True)
