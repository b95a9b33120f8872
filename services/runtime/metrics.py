"""What the process counts, and the page on which Prometheus reads it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from wsgiref.simple_server import WSGIServer

import grpc
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from services.kernel.startup import StartupError
from services.runtime.lag import LoopLag

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
FOLD = 512
_Metrics = TypeVar("_Metrics")


class MethodMetrics:
    """One method's calls. What ended is folded into Prometheus' own counters later and all at once, which costs a tenth."""

    def __init__(self, metrics: Metrics, path: str) -> None:
        self._calls, self._path = metrics.calls, path
        self._seconds = metrics.seconds.labels(path)
        self._sent = metrics.messages_sent.labels(path)
        self._received = metrics.messages_received.labels(path)
        # Filled by the event loop, emptied by the page's thread too: a deque bears both.
        self._pending: deque[tuple[grpc.StatusCode, float, int, int]] = deque()
        self.in_flight = 0
        metrics.in_flight.labels(path).set_function(lambda: self.in_flight)

    def ended(self, code: grpc.StatusCode, seconds: float, sent: int, received: int) -> None:
        """Count a call."""
        self._pending.append((code, seconds, sent, received))
        if len(self._pending) >= FOLD:
            self.fold()

    def fold(self) -> None:
        """Bring the counters up to date."""
        codes: defaultdict[grpc.StatusCode, int] = defaultdict(int)
        all_sent = all_received = 0
        while self._pending:
            try:
                code, seconds, sent, received = self._pending.popleft()
            except IndexError:
                break
            codes[code] += 1
            all_sent += sent
            all_received += received
            self._seconds.observe(seconds)
        for code, count in codes.items():
            self._calls.labels(self._path, code.name).inc(count)
        self._sent.inc(all_sent)
        self._received.inc(all_received)


class Metrics:
    """The runtime's own metrics, in a registry that services may add theirs to."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._methods: dict[str, MethodMetrics] = {}
        self._shared: dict[Any, Any] = {}
        # First, so that everything is up to date when the others are read.
        self.registry.register(_Folding(self))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.calls = Counter(
            "antiphon_calls", "Calls that ended.", ["method", "code"], registry=self.registry
        )
        self.seconds = Histogram(
            "antiphon_call_seconds",
            "Duration of calls, of streams to their end.",
            ["method"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "antiphon_calls_in_flight", "Calls in progress.", ["method"], registry=self.registry
        )
        self.messages_sent = Counter(
            "antiphon_messages_sent",
            "Messages sent in calls that ended.",
            ["method"],
            registry=self.registry,
        )
        self.messages_received = Counter(
            "antiphon_messages_received",
            "Messages received in calls that ended.",
            ["method"],
            registry=self.registry,
        )
        self.limited_calls = Counter(
            "antiphon_limited_calls",
            "Calls past their caller's rate limit, and calls that could not be counted.",
            ["service", "limit", "outcome"],
            registry=self.registry,
        )
        self._lag = LoopLag()
        Gauge(
            "antiphon_event_loop_lag_seconds",
            "How late the event loop has been at most since this page was read last.",
            registry=self.registry,
        ).set_function(self._lag.take)
        self.healthy = Gauge(
            "antiphon_healthy",
            "1 while what a service depends on works.",
            ["service", "check"],
            registry=self.registry,
        )

    def shared(self, kind: Callable[[CollectorRegistry], _Metrics]) -> _Metrics:
        """The metrics of this kind, which several services of the process have in common: added to the registry by whoever asks first."""
        if kind not in self._shared:
            self._shared[kind] = kind(self.registry)
        made: _Metrics = self._shared[kind]
        return made

    def of_method(self, path: str) -> MethodMetrics:
        """The metrics of one RPC."""
        if path not in self._methods:
            self._methods[path] = MethodMetrics(self, path)
        return self._methods[path]

    def fold(self) -> None:
        """Bring the counters of all methods up to date."""
        for method in list(self._methods.values()):
            method.fold()

    @asynccontextmanager
    async def page(self, address: str) -> AsyncIterator[int | None]:
        """Serve the page at `address` (host:port; empty: not at all), from a thread of its own. Yields the port.

        Raises StartupError when the address can't be listened on.
        """
        if not address:
            yield None
            return
        host, _, port = address.rpartition(":")
        server, thread = self._listen(host.strip("[]"), int(port), address)
        try:
            yield server.server_port
        finally:
            await asyncio.to_thread(_close, server, thread)

    def _listen(self, host: str, port: int, address: str) -> tuple[WSGIServer, threading.Thread]:
        try:
            return start_http_server(port, addr=host, registry=self.registry)
        except OSError as error:
            raise StartupError(
                f"The metrics page can't listen on {address}: {error.strerror or error}.",
                "Set ANTIPHON_METRICS__ADDRESS to a free address, or to `off`.",
            ) from error

    async def forget_start(self) -> None:
        """What held the loop while the process started held nobody up."""
        await self._lag.forget()

    @asynccontextmanager
    async def watched_loop(self) -> AsyncIterator[None]:
        """Keep an eye on the event loop's lag."""
        task = asyncio.create_task(self._lag.watch())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _close(server: WSGIServer, thread: threading.Thread) -> None:
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)


class _Folding(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        self._metrics.fold()
        return ()
