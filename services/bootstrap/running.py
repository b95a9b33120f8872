"""From the command to a stop that leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.bootstrap.suite import Suite, serving
from services.kernel.errors import Unavailable
from services.kernel.startup import StartupError
from services.runtime.logs import Log
from services.runtime.signals import Reload, Stop
from services.settings import Settings

_log = logging.getLogger(__name__)

_GC_THRESHOLDS = (20_000, 20, 20)


@dataclass(frozen=True, slots=True)
class Administrator:
    """The administrator whom this start made; the password is shown once."""

    email: str
    password: str


Announce = Callable[[Suite, "Administrator | None"], None]


async def run(
    settings: Settings, services: Sequence[str], log: Log, environ: Mapping[str, str], announce: Announce
) -> None:
    """Serve until SIGTERM or Ctrl-C; a second one cuts the grace period short. SIGHUP has the services reload what they can. `announce`
    is called once all is ready to be used.

    Returns after a stop that was asked for. Raises StartupError when the start fails, and when the embedded PostgreSQL ends by itself.
    """
    stop, reload, served = Stop(), Reload(), asyncio.Event()
    with stop.by_signals(), reload.by_signal(stop):
        work = asyncio.create_task(_serve(settings, services, log, environ, announce, stop, reload, served))
        hurry = asyncio.create_task(_hurry(stop, served, work))
        try:
            await work
        except asyncio.CancelledError:
            if not stop.requested.is_set():
                raise
        except Unavailable as error:
            raise StartupError(
                f"The start was broken off: {error.message}", "See that the database runs, then start again."
            ) from error
        finally:
            hurry.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await hurry
    _log.info("stopped")


async def _serve(
    settings: Settings,
    services: Sequence[str],
    log: Log,
    environ: Mapping[str, str],
    announce: Announce,
    stop: Stop,
    reload: Reload,
    served: asyncio.Event,
) -> None:
    lost = ""
    async with serving(settings, services, log, environ) as suite:
        async with suite.first_administrator() as made:
            announce(suite, None if made is None else Administrator(made.email, made.password))
            # From here on a stop is an orderly one: a password that was shown is noted as shown.
            served.set()
        _log.info("serving", extra={"address": suite.server.address, "services": " ".join(suite.services)})
        # What start-up made lives as long as the process; the collector need not walk through it again and again.
        gc.collect()
        gc.freeze()
        # Streams keep many objects for their time and leave few cycles: with Python's own thresholds the collector walks through
        # all of them every few seconds, and each time tokens wait for some 50 ms.
        gc.set_threshold(*_GC_THRESHOLDS)
        await suite.metrics.forget_start()
        reloading = asyncio.create_task(_reload(reload, suite), name="reload")
        try:
            lost = await _until(stop, suite)
        finally:
            reloading.cancel()
            await asyncio.gather(reloading, return_exceptions=True)
        _log.info("stopping", extra={"calls_in_progress": suite.server.calls_in_progress})
    if lost:
        raise StartupError(
            f"The embedded PostgreSQL ended by itself: {lost}.",
            "Start the suite again; PostgreSQL recovers what was committed. Its log is in the data directory.",
        )


async def _reload(reload: Reload, suite: Suite) -> None:
    """Have the listener and the services reload, whenever that is asked for."""
    while True:
        await reload.requested.wait()
        reload.requested.clear()
        await asyncio.to_thread(suite.server.reload)
        for service in suite.mounted:
            try:
                await service.reload()
            except Exception:
                _log.exception("a reload failed", extra={"service": service.name})


async def _until(stop: Stop, suite: Suite) -> str:
    """Wait for a stop, or for the end of the embedded PostgreSQL, and return why that ended; empty for a stop."""
    asked = asyncio.create_task(stop.requested.wait())
    waiting: set[asyncio.Task[object]] = {asked}
    lost: asyncio.Task[str] | None = None
    if suite.embedded is not None:
        lost = asyncio.create_task(suite.embedded.lost())
        waiting.add(lost)
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        return lost.result() if lost is not None and lost.done() and not asked.done() else ""
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _hurry(stop: Stop, served: asyncio.Event, work: asyncio.Task[None]) -> None:
    await stop.requested.wait()
    if served.is_set():
        await stop.hurried.wait()
        _log.warning("stopping at once")
    work.cancel()
