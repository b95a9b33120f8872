"""The ends of generations that leave no images: recorded with what they used, and what they left is filed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from services.capabilities.generations.model import End, State
from services.capabilities.metering.meter import Meter
from services.capabilities.metering.model import UsageStatus
from services.image.generation.filing import Filer
from services.image.generation.usage import usage_event
from services.image.model import Generation
from services.image.ports import ImageStore
from services.kernel.ids import new_id


@dataclass(frozen=True, slots=True)
class ImageEnder:
    """Keeps the promises of `generations.ports.Ender`."""

    store: ImageStore
    filer: Filer
    meter: Meter

    async def ended(self, end: End[Generation], *, silent: bool) -> bool:
        """As the port says."""
        status = UsageStatus.CANCELLED if end.state is State.CANCELLED else UsageStatus.ERROR
        reason = "" if end.state is State.CANCELLED else end.failure.reason
        event = self.meter.taken(usage_event(end.generation, status, reason, 0, new_id(), datetime.now(UTC)))
        ended = await self.store.end(
            end.generation.generation_id,
            end.state,
            end.failure,
            event,
            free=True,
            remove=end.remove,
            again=end.again,
            silent=silent,
        )
        if ended:
            self.meter.stored(event)
            self.filer.soon()
        return ended

    async def discarded(self, generation_id: str) -> None:
        """As the port says."""
        await self.store.discard(generation_id, 1)
        self.filer.soon()
