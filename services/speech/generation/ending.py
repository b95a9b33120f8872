"""How Speech records that a call has ended without a conversion: with what was spoken of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from services.capabilities.generations.model import End, State
from services.capabilities.metering.meter import Meter
from services.capabilities.metering.model import UsageStatus
from services.kernel.ids import new_id
from services.speech.generation.making import STREAM
from services.speech.generation.recording import Recording
from services.speech.generation.usage import usage_event
from services.speech.model import Generation, Used
from services.speech.ports import ConversionStore


class SpeechEnder:
    """Keeps the promises of `Ender`."""

    def __init__(self, store: ConversionStore, meter: Meter, soon: Callable[[], None]) -> None:
        """`soon` is told when there is something to remove."""
        self._store = store
        self._meter = meter
        self._soon = soon

    async def ended(self, end: End[Generation], *, silent: bool) -> bool:
        """As the port says."""
        cancelled = end.state is State.CANCELLED
        status = UsageStatus.CANCELLED if cancelled else UsageStatus.ERROR
        reason = "" if cancelled else end.failure.reason
        # What another process has spoken before it died is not known.
        recording = end.used if isinstance(end.used, Recording) else None
        used = Used() if recording is None else recording.used
        first_audio = (
            recording.first_audio
            if recording is not None and end.generation.order.operation == STREAM
            else None
        )
        event = self._meter.taken(
            usage_event(end.generation, status, reason, used, first_audio, new_id(), datetime.now(UTC))
        )
        ended = await self._store.end(
            end.generation.generation_id,
            end.state,
            end.failure,
            used,
            event,
            free=True,
            remove=end.remove,
            again=end.again,
            silent=silent,
        )
        if ended:
            self._meter.stored(event)
            self._soon()
        return ended

    async def discarded(self, generation_id: str) -> None:
        """As the port says."""
        await self._store.discard(generation_id, 1)
        self._soon()
