"""Puts the meter of a service together: what its calls used, what they did not, and the way of both to Analytics."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry

from services.capabilities.metering.meter import Meter
from services.capabilities.metering.metrics import ServiceUsage, UsageMetrics
from services.capabilities.metering.ports import Outbox, Sink
from services.capabilities.metering.refused import RefusedCalls
from services.capabilities.metering.relay import Relay
from services.kernel.errors import ServiceError
from services.kernel.metering import CallMeter
from services.runtime.metrics import Metrics
from services.runtime.tasks import running
from services.settings import AnalyticsSettings

log = structlog.get_logger(__name__)

BACKLOG_SECONDS = 5.0
_LAST_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Metering:
    """The meter of a service that runs. `calls` is for its `Mounted`; None when nothing is recorded."""

    meter: Meter
    calls: CallMeter | None = None
    _refused: RefusedCalls | None = None
    _relay: Relay | None = None
    _relaying: Sequence[asyncio.Task[None]] = ()

    async def drain(self, seconds: float) -> None:
        """Deliver what was recorded, for so long; the rest waits for another process, or the next start. To be awaited when nothing is made any
        more."""
        ends = time.monotonic() + seconds
        if self._refused is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._refused.flush()
        if self._relay is not None:
            # A batch that is being delivered would be delivered once more.
            self._relay.stop()
            if self._relaying:
                await asyncio.wait(self._relaying, timeout=max(0.0, ends - time.monotonic()))
            for task in self._relaying:
                task.cancel()
            await asyncio.gather(*self._relaying, return_exceptions=True)
            await self._relay.flush(max(0.0, ends - time.monotonic()))


@asynccontextmanager
async def build(
    settings: AnalyticsSettings,
    service: str,
    outbox: Outbox,
    sink: Sink | None,
    metrics: Metrics | None = None,
) -> AsyncIterator[Metering]:
    """The meter of `service`, while the block runs; the outbox has to outlive it. Without a `sink` events wait.

    With ENABLE_ANALYTICS=false nothing is recorded, and nothing is shipped.
    """
    shared = UsageMetrics(CollectorRegistry()) if metrics is None else metrics.shared(UsageMetrics)
    usage = ServiceUsage(service, shared)
    if not settings.enabled:
        yield Metering(Meter(usage, enabled=False))
        return
    refused = RefusedCalls(outbox, usage, settings.refused_calls)
    relay = None
    if sink is None:
        log.warning(
            "usage events are recorded and wait: this process does not know where Analytics is; set ANTIPHON_PEERS__ANALYTICS, or"
            " ENABLE_ANALYTICS=false",
            service=service,
        )
    else:
        relay = Relay(outbox, sink, usage)
    try:
        async with (
            running(refused_calls=refused.run(), usage_backlog=_watch(outbox, usage)),
            nullcontext(()) if relay is None else running(usage_relay=relay.run()) as relaying,
        ):
            yield Metering(Meter(usage, enabled=True), refused, refused, relay, relaying)
    finally:
        # Calls that were refused while the service stopped, and answers that ended behind the drain.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await refused.flush(last=True)
        if relay is not None:
            await relay.flush(_LAST_SECONDS)


async def _watch(outbox: Outbox, usage: ServiceUsage) -> None:
    """Show what waits, every few seconds, until cancelled."""
    while True:
        try:
            usage.waits(await outbox.backlog())
        except ServiceError:
            # Whoever needs the outbox says that it is away.
            pass
        except Exception:
            log.exception("what waits in the outbox could not be counted")
        await asyncio.sleep(BACKLOG_SECONDS)
