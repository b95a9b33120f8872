"""What Prometheus reads of the generations of this process. Nothing is counted per token."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.chat.generation.live import LiveGeneration

_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class ChatMetrics:
    """Counts generations, and the attempts to have them made, in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._running = Gauge(
            "antiphon_chat_generations_running", "Answers that are being made.", registry=registry
        )
        self._ended = Counter(
            "antiphon_chat_generations",
            "Answers that ended.",
            ["model", "state", "reason"],
            registry=registry,
        )
        self._first_token = Histogram(
            "antiphon_chat_first_token_seconds",
            "From a call to the first token of its answer.",
            ["model"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._fallbacks = Counter(
            "antiphon_chat_fallbacks",
            "Answers that another model took over before the first token.",
            ["failed_model", "model", "reason"],
            registry=registry,
        )
        self._attempts = Counter(
            "antiphon_chat_attempts",
            "Times that a model was asked, by what came of it.",
            ["model", "outcome"],
            registry=registry,
        )

    def count_running(self, running: Callable[[], int]) -> None:
        """Where the number of running generations is read."""
        self._running.set_function(running)

    def show_breakers(self, states: Callable[[], Mapping[str, int]]) -> None:
        """Where the states of the breakers are read."""
        self._registry.register(_BreakerStates(states))

    def ended(self, live: LiveGeneration) -> None:
        """Count a generation that is made no more."""
        ending, generation = live.ending, live.generation
        if ending is None:
            return
        if ending.failure is not None:
            reason = ending.failure.reason
        else:
            reason = ending.finish_reason.value if ending.finish_reason else ""
        self._ended.labels(generation.model, ending.state.value, reason).inc()
        if live.first_token_time is not None:
            seconds = (live.first_token_time - generation.create_time).total_seconds()
            self._first_token.labels(generation.model).observe(max(seconds, 0.0))

    def attempted(self, model: str, outcome: str) -> None:
        """Count that a model was asked: `outcome` is `answered`, `cancelled`, `timeout` when the time for the whole answer was
        over before its first token, or the reason of the failure."""
        self._attempts.labels(model, outcome).inc()

    def fell_back(self, failed_model: str, model: str, reason: str) -> None:
        """Count that a model took over."""
        self._fallbacks.labels(failed_model, model, reason).inc()


class _BreakerStates(Collector):
    def __init__(self, states: Callable[[], Mapping[str, int]]) -> None:
        self._states = states

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "antiphon_chat_breaker_state",
            "Whether an endpoint of models is asked: 0 it is, 1 it is left alone, 2 it is being tried.",
            labels=["endpoint"],
        )
        for endpoint, state in self._states().items():
            family.add_metric([endpoint], state)
        yield family
