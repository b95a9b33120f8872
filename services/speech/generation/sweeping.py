"""What is to go from the object store: conversions that were deleted, and what is left of those that never were."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta

import structlog

from services.capabilities.blobs.ports import Blobs
from services.kernel.errors import ServiceError
from services.kernel.outages import Outage
from services.kernel.together import together
from services.speech.generation.metrics import SpeechMetrics
from services.speech.generation.objects import keys_to_remove
from services.speech.model import Removal
from services.speech.ports import ConversionStore

log = structlog.get_logger(__name__)

_SWEEP_SECONDS = 3.0
_AT_ONCE = 100
_ROUND_SECONDS = 30.0
# Longer than a round: until then another process leaves them alone.
_PAUSE = timedelta(minutes=1)
# Behind this a process that was stopped in the middle of writing is hardly there any more.
_AGAIN = timedelta(minutes=10)


class Sweeper:
    """Removes objects. Run `run` as long as the service runs."""

    def __init__(self, store: ConversionStore, blobs: Blobs, metrics: SpeechMetrics) -> None:
        self._store = store
        self._blobs = blobs
        self._metrics = metrics
        self._wake = asyncio.Event()
        self._outage = Outage(
            lambda error: log.error(
                "audio can't be removed from the object store; trying again", error=error
            ),
            lambda: log.info("audio is removed again"),
        )

    def soon(self) -> None:
        """Something is due: the sweeper is not to wait."""
        self._wake.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        pause = _SWEEP_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            self._wake.clear()
            pause = await self._swept()

    async def _swept(self) -> float:
        """Remove what is due. Returns for how long there is nothing to do."""
        try:
            self._metrics.unremoved.set(await self._store.unremoved())
            due = await self._store.due(_PAUSE, _AT_ONCE)
            if not due:
                return _SWEEP_SECONDS
            async with asyncio.timeout(_ROUND_SECONDS):
                await self._remove(due)
            self._outage.over()
            return 0.0
        except TimeoutError:
            return self._outage.pause("the object store takes too long")
        except ServiceError as error:
            return self._outage.pause(error.message)
        except Exception:
            log.exception("audio can't be removed")
            return _SWEEP_SECONDS

    async def _remove(self, removals: Sequence[Removal]) -> None:
        await together([self._blobs.delete(keys_to_remove(removal)) for removal in removals])
        await self._store.removed(removals, _AGAIN)
