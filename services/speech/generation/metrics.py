"""What Speech says of itself on the page of metrics."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client import Counter as CounterMetric

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320)


class SpeechMetrics:
    """The figures of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.unremoved = Gauge(
            "antiphon_speech_unremoved",
            "Conversions whose objects are still to be removed from the object store.",
            registry=registry,
        )
        self._running = Gauge(
            "antiphon_speech_generations", "Calls that speak in this process now.", registry=registry
        )
        self.seconds = Histogram(
            "antiphon_speech_stage_seconds",
            "How long the stages of a conversion take: first_audio, spoken, objects, index.",
            ("stage",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.audio_seconds = CounterMetric(
            "antiphon_speech_audio_seconds", "Seconds of audio that were stored.", registry=registry
        )
        self.provider_failures = CounterMetric(
            "antiphon_speech_provider_failures",
            "Calls of models that failed, by model and reason.",
            ("model", "reason"),
            registry=registry,
        )

    def count_running(self, running: Callable[[], float]) -> None:
        """Show how many calls are at work."""
        self._running.set_function(running)
