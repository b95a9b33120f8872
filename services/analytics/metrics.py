"""What Prometheus reads of the ingest, and what this month has cost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import NoReturn

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge

from services.analytics.mapping.names import name_of
from services.analytics.model.figures import Dimension
from services.analytics.model.steps import Span
from services.analytics.ports import Clock
from services.analytics.usecases.reckoning import Reckoning
from services.analytics.usecases.record_events import Recorded
from services.analytics.usecases.spans import whole_millis, zone_of
from services.kernel.errors import Unavailable

log = structlog.get_logger(__name__)

_NANO = 1_000_000_000
_REFRESH_SECONDS = 60.0
_GROUP_BY = (Dimension.SERVICE_TYPE, Dimension.MODEL)


class AnalyticsMetrics:
    """Counts what came in, in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "antiphon_analytics_events",
            "Usage events that came in, by what became of them.",
            ["outcome"],
            registry=registry,
        )
        self._cost = Gauge(
            "antiphon_analytics_month_cost_usd",
            "What the calls since the beginning of the month (UTC) cost, as far as there are prices; the same in all replicas.",
            ["service", "model"],
            registry=registry,
        )
        self._unpriced = Gauge(
            "antiphon_analytics_month_unpriced_events",
            "Calls since the beginning of the month (UTC) that used something without a price; the same in all replicas.",
            ["service", "model"],
            registry=registry,
        )
        for outcome in ("accepted", "known", "rejected"):
            self._events.labels(outcome)

    def recorded(self, recorded: Recorded) -> None:
        """Count a batch."""
        self._events.labels("accepted").inc(recorded.accepted)
        self._events.labels("known").inc(recorded.known)
        self._events.labels("rejected").inc(len(recorded.rejected))

    async def follow(self, reckon: Reckoning, clock: Clock) -> NoReturn:
        """Keep the month's cost up to date, until cancelled."""
        while True:
            try:
                await self._refresh(reckon, clock)
            except Unavailable as error:
                log.debug("the month's cost can't be told now", why=error.message)
            except Exception:
                # Nobody waits for this, and the next round may fare better.
                log.exception("the month's cost can't be told")
            await asyncio.sleep(_REFRESH_SECONDS)

    async def _refresh(self, reckon: Reckoning, clock: Clock) -> None:
        now = whole_millis(clock())
        start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        span = Span(start, max(now, start + timedelta(milliseconds=1)), zone_of(""))
        answer = await reckon(span, _GROUP_BY)
        # With a new month models vanish.
        self._cost.clear()
        self._unpriced.clear()
        for group, figures in answer.reckoned.by_group().items():
            names = [name_of(dimension, value) for dimension, value in zip(_GROUP_BY, group, strict=True)]
            if figures.cost is not None:
                self._cost.labels(*names).set(figures.cost / _NANO)
            self._unpriced.labels(*names).set(figures.unpriced)
