"""What Prometheus reads of the meter: what was used, which calls made nothing, and what waits for its delivery."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.capabilities.metering.model import UsageEvent
from services.capabilities.metering.ports import Backlog, Delivered


class UsageMetrics:
    """The metrics of all metered services of a process, in a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.units = Counter(
            "antiphon_usage_units",
            "What calls used, such as tokens.",
            ["service", "model", "unit"],
            registry=registry,
        )
        self.calls = Counter(
            "antiphon_usage_calls",
            "Metered calls, by how they ended; those in which nothing began have no model.",
            ["service", "model", "status"],
            registry=registry,
        )
        self.refused_calls = Counter(
            "antiphon_usage_refused_calls",
            "Calls in which nothing began, by whether they were recorded or were too many for that.",
            ["service", "outcome"],
            registry=registry,
        )
        self.waiting = Gauge(
            "antiphon_usage_outbox_events",
            "Usage events that wait for their delivery, counted up to 100,000.",
            ["service"],
            registry=registry,
        )
        self.oldest = Gauge(
            "antiphon_usage_outbox_oldest_seconds",
            "How long the oldest of them has waited.",
            ["service"],
            registry=registry,
        )
        self.set_aside = Gauge(
            "antiphon_usage_outbox_set_aside_events",
            "Usage events that could not be delivered and are kept for inspection.",
            ["service"],
            registry=registry,
        )
        self.delivered = Counter(
            "antiphon_usage_delivered_events",
            "Usage events that Analytics took, by what it said of them: accepted, known, rejected.",
            ["service", "outcome"],
            registry=registry,
        )
        self.failed_deliveries = Counter(
            "antiphon_usage_delivery_failures",
            "Attempts to deliver usage events that failed, by the status.",
            ["service", "code"],
            registry=registry,
        )


class ServiceUsage:
    """The metrics of one service among them."""

    def __init__(self, service: str, metrics: UsageMetrics) -> None:
        self._service = service
        self._metrics = metrics
        self._recorded = metrics.refused_calls.labels(service, "recorded")
        self._dropped = metrics.refused_calls.labels(service, "dropped")
        self._waiting = metrics.waiting.labels(service)
        self._oldest = metrics.oldest.labels(service)
        self._set_aside = metrics.set_aside.labels(service)

    def used(self, event: UsageEvent) -> None:
        """Count a call, and what it used."""
        self._metrics.calls.labels(self._service, event.model, event.status.name.lower()).inc()
        for unit, amount in event.usage.quantities.items():
            self._metrics.units.labels(self._service, event.model, unit.name.lower()).inc(amount)

    def refused(self, recorded: int, status: str) -> None:
        """Count calls in which nothing began, which were recorded."""
        self._recorded.inc(recorded)
        self._metrics.calls.labels(self._service, "", status).inc(recorded)

    def dropped(self, count: int = 1) -> None:
        """Count calls in which nothing began, which were not."""
        self._dropped.inc(count)

    def waits(self, backlog: Backlog) -> None:
        """Show what waits."""
        self._waiting.set(backlog.events)
        self._oldest.set(backlog.oldest_seconds)
        self._set_aside.set(backlog.set_aside)

    def delivered(self, delivered: Delivered) -> None:
        """Count events of which Analytics has said what became of them."""
        for outcome in ("accepted", "known", "rejected"):
            count: int = getattr(delivered, outcome)
            if count:
                self._metrics.delivered.labels(self._service, outcome).inc(count)

    def failed(self, code: str) -> None:
        """Count an attempt that failed."""
        self._metrics.failed_deliveries.labels(self._service, code).inc()
