"""What Prometheus reads of the ingest, and what this month has cost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import NoReturn

import structlog
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.analytics.mapping.names import name_of
from services.analytics.model.figures import Dimension
from services.analytics.model.steps import Span
from services.analytics.model.totals import Figures
from services.analytics.ports import Clock
from services.analytics.usecases.reckoning import Reckoning
from services.analytics.usecases.record_events import Recorded
from services.analytics.usecases.spans import whole_millis, zone_of
from services.kernel.errors import Unavailable

log = structlog.get_logger(__name__)

_NANO = 1_000_000_000
_REFRESH_SECONDS = 60.0
_MOST_MODELS = 200
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
        self._month = _Month()
        registry.register(self._month)
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
        found = answer.reckoned.by_group()
        told = list(found.items())[:_MOST_MODELS]
        self._month.figures = {
            tuple(
                name_of(dimension, value) for dimension, value in zip(_GROUP_BY, group, strict=True)
            ): figures
            for group, figures in told
        }


class _Month(Collector):
    """This month's figures as they were read last, by service and model: those with the most calls, since services may name any."""

    def __init__(self) -> None:
        self.figures: Mapping[tuple[str, ...], Figures] = {}

    def collect(self) -> Iterable[Metric]:
        cost = GaugeMetricFamily(
            "antiphon_analytics_month_cost_usd",
            "What the calls since the beginning of the month (UTC) cost, as far as there are prices; the same in all replicas.",
            labels=["service", "model"],
        )
        unpriced = GaugeMetricFamily(
            "antiphon_analytics_month_unpriced_events",
            "Calls since the beginning of the month (UTC) that used something without a price; the same in all replicas.",
            labels=["service", "model"],
        )
        for names, figures in self.figures.items():
            if figures.cost is not None:
                cost.add_metric(names, figures.cost / _NANO)
            unpriced.add_metric(names, figures.unpriced)
        yield cost
        yield unpriced
