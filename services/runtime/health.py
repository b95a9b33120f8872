"""Health by the standard gRPC protocol: `live` for the process, a service's full name or "" for its readiness."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer

from services.kernel.errors import Unavailable
from services.kernel.health import HealthCheck
from services.runtime.call import Method
from services.runtime.methods import internal_method
from services.runtime.metrics import Metrics
from services.runtime.mounted import Mounted

SERVICE = "grpc.health.v1.Health"
LIVE = "live"
INTERVAL = 2.0
BOUND = 5.0
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_log = logging.getLogger(__name__)


class Health:
    """Knows what is ready. `interval` and `bound` are seconds between two looks, and what one check may take.

    `live` is SERVING from the moment that the process answers until it ends. Everything else is NOT_SERVING until the first look, and
    again from `stop` on.
    """

    def __init__(
        self,
        mounted: Sequence[Mounted],
        metrics: Metrics,
        *,
        interval: float = INTERVAL,
        bound: float = BOUND,
    ) -> None:
        self._mounted = mounted
        self._metrics = metrics
        self._interval = interval
        self._bound = bound
        self._servicer = HealthServicer()
        self._broken: dict[tuple[str, str], str] = {}
        self._stopping = False
        self._released = asyncio.Event()
        self.service = SERVICE

    def methods(self) -> list[Method]:
        """The RPCs of the health protocol."""
        request, response = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
        return [
            internal_method(f"/{SERVICE}/Check", request, response, self._servicer.Check),
            internal_method(f"/{SERVICE}/Watch", request, response, self._watch_status, streams="out"),
        ]

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look once, then again and again."""
        await self._servicer.set(LIVE, _SERVING)
        await self.look()
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @property
    def broken(self) -> dict[tuple[str, str], str]:
        """What does not work, by the names of service and check."""
        return dict(self._broken)

    async def stop(self) -> None:
        """Say that nothing is ready any more, for good; `live` stays."""
        self._stopping = True
        for name in self._names():
            await self._servicer.set(name, _NOT_SERVING)

    def release(self) -> None:
        """End the streams of Watch, which would never end by themselves."""
        self._released.set()

    async def look(self) -> None:
        """Check everything once, all at the same time, and say what was found."""
        pairs = [(service, check) for service in self._mounted for check in service.checks]
        results = await asyncio.gather(*(self._result(check) for _, check in pairs))
        broken: dict[tuple[str, str], str] = {}
        for (service, check), wrong in zip(pairs, results, strict=True):
            self._metrics.healthy.labels(service.name, check.name).set(0 if wrong else 1)
            if wrong:
                broken[service.name, check.name] = wrong
        self._report(broken)
        if self._stopping:
            return
        for service in self._mounted:
            ready = not any(name == service.name for name, _ in broken)
            for servicer in service.servicers:
                await self._servicer.set(servicer, _SERVING if ready else _NOT_SERVING)
        await self._servicer.set("", _NOT_SERVING if broken else _SERVING)

    async def _result(self, check: HealthCheck) -> str | None:
        try:
            async with asyncio.timeout(self._bound):
                return await check.check()
        except TimeoutError:
            return f"no answer within {self._bound:g} s"
        except Exception as error:  # A check that fails is a dependency that is not known to work.
            return f"the check failed: {type(error).__name__}"

    def _report(self, broken: dict[tuple[str, str], str]) -> None:
        for key, wrong in broken.items():
            if self._broken.get(key) != wrong:
                _log.error("not ready", extra={"service": key[0], "check": key[1], "why": wrong})
        for key in self._broken.keys() - broken.keys():
            _log.warning("ready again", extra={"service": key[0], "check": key[1]})
        self._broken = broken

    async def _watch_status(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:
        watching = asyncio.ensure_future(self._servicer.Watch(request, context))
        released = asyncio.ensure_future(self._released.wait())
        try:
            await asyncio.wait((watching, released), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (watching, released):
                task.cancel()
            await asyncio.gather(watching, released, return_exceptions=True)
        if self._released.is_set():
            raise Unavailable("The server is stopping.", reason="SHUTTING_DOWN")

    def _names(self) -> list[str]:
        return ["", *(servicer for service in self._mounted for servicer in service.servicers)]

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self.look()
