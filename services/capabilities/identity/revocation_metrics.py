"""What Prometheus reads of the revocations that this process follows."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.capabilities.identity.revocation_cache import RevocationCache


class RevocationMetrics(Collector):
    """Reads a cache, from whichever thread: register it in the process's registry."""

    def __init__(self, cache: RevocationCache) -> None:
        self._cache = cache

    def collect(self) -> Iterable[Metric]:
        """The figures of this moment."""
        cache = self._cache
        yield GaugeMetricFamily(
            "antiphon_revocations_silent_seconds",
            "How long the feed of revocations has been silent; +Inf before it was heard.",
            cache.silence,
        )
        yield GaugeMetricFamily(
            "antiphon_revocations_known", "Revocations that can still matter.", cache.known
        )
        yield CounterMetricFamily(
            "antiphon_revocations_reconnects",
            "How often the feed was lost and asked for again.",
            cache.reconnects,
        )
