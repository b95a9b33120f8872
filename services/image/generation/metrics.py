"""What Image says of itself on the page of metrics."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320)


class ImageMetrics:
    """The figures of one process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.unfiled = Gauge(
            "antiphon_image_unfiled",
            "Images whose record and history, or whose removal, is still to be done in the object store.",
            registry=registry,
        )
        self.left_out = Counter(
            "antiphon_image_history_left_out",
            "Lines that a person's history of a day has no room for.",
            registry=registry,
        )
        self._running = Gauge(
            "antiphon_image_generations", "Calls that make images in this process now.", registry=registry
        )
        self.seconds = Histogram(
            "antiphon_image_stage_seconds",
            "How long the stages of a generation take: queue, provider, decode, objects, index, filing.",
            ("stage",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.provider_failures = Counter(
            "antiphon_image_provider_failures",
            "Attempts to make images that failed, by model and reason.",
            ("model", "reason"),
            registry=registry,
        )

    def count_running(self, running: Callable[[], float]) -> None:
        """Show how many calls are at work."""
        self._running.set_function(running)
