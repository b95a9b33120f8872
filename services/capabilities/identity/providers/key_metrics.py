"""What Prometheus reads of the keys that access tokens are checked with."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.capabilities.identity.providers.keys import CachedKeys


class KeyMetrics(Collector):
    """Reads the keys of Auth, from whichever thread: register it in the process's registry."""

    def __init__(self, keys: CachedKeys) -> None:
        self._keys = keys

    def collect(self) -> Iterable[Metric]:
        """The figures of this moment."""
        yield GaugeMetricFamily(
            "antiphon_signing_keys_age_seconds",
            "How old the set of keys is that access tokens are checked with; +Inf before it was fetched.",
            self._keys.age,
        )
        yield CounterMetricFamily(
            "antiphon_signing_keys_failures", "Fetches of that set that failed.", self._keys.failures
        )
