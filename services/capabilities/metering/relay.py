"""The relay: what waits in an outbox is delivered, in batches, until Analytics has it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import structlog

from services.capabilities.metering.metrics import ServiceUsage
from services.capabilities.metering.ports import Outbox, Sink, Waiting
from services.kernel.errors import (
    DeadlineExceeded,
    InvalidArgument,
    ResourceExhausted,
    ServiceError,
    Unavailable,
)
from services.kernel.ids import new_id
from services.kernel.outages import Outage

log = structlog.get_logger(__name__)

MOST_EVENTS = 1000
MOST_BYTES = 1024**2
POLL_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_LONGEST_ASKED_SECONDS = 60.0
_LEAVE_SECONDS = 1.0
# A sink that finds fault with so many single events, and takes none, has a fault of its own.
_SUSPECTS = 3
_TOO_LARGE = "MESSAGE_TOO_LARGE"


class Relay:
    """Delivers the events of an outbox to a sink, and removes those that the sink has.

    A batch that the sink refuses as it is is halved until the bad event is found, which is set aside while the others go on. No event is lost
    by a crash at any point, and one that was delivered twice is known there. Holds nothing of the store while it delivers.
    """

    def __init__(
        self,
        store: Outbox,
        sink: Sink,
        usage: ServiceUsage,
        *,
        most_events: int = MOST_EVENTS,
        most_bytes: int = MOST_BYTES,
        poll_seconds: float = POLL_SECONDS,
        first_pause: float = 0.25,
    ) -> None:
        self._store = store
        self._sink = sink
        self._usage = usage
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._poll_seconds = poll_seconds
        self._owner_id = new_id()
        self._stopping = asyncio.Event()
        self._lost = Outage(
            lambda error: log.error("usage events can't be delivered; trying again", error=error),
            lambda: log.info("usage events are delivered again"),
            first=first_pause,
            longest=_LONGEST_PAUSE_SECONDS,
            jitter=0.5,
        )

    def stop(self) -> None:
        """Have `run` end when what is being delivered is."""
        self._stopping.set()

    async def run(self) -> None:
        """Deliver until cancelled or stopped."""
        while not self._stopping.is_set():
            try:
                more = await self._round()
                self._lost.over()
                pause = 0.0 if more else self._poll_seconds
            except ServiceError as error:
                pause = max(
                    self._lost.pause(error.message), min(error.retry_after or 0.0, _LONGEST_ASKED_SECONDS)
                )
            except Exception as error:
                pause = self._lost.pause(repr(error))
                log.exception("usage events can't be delivered; trying again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def flush(self, seconds: float) -> None:
        """Deliver what waits, for so long, and as long as it is taken; then let others deliver. For the end, when nobody runs this any more."""
        try:
            async with asyncio.timeout(seconds):
                while await self._round(to_the_end=True):
                    pass
        except TimeoutError:
            log.info("usage events are left to be delivered later")
        except ServiceError as error:
            log.info("usage events are left to be delivered later", error=error.message)
        except Exception:
            log.exception("usage events could not be delivered")
        await self.leave()

    async def leave(self) -> None:
        """Let others deliver from now on, if the store can be told."""
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._store.leave(self._owner_id)
        except (ServiceError, TimeoutError):
            # Then they do in a few seconds.
            log.info("the relay's place could not be given up")

    async def _round(self, *, to_the_end: bool = False) -> bool:
        """Deliver a batch. Returns whether more waits; with `to_the_end` whether more may wait."""
        batch = await self._store.take(self._owner_id, self._most_events, self._most_bytes)
        if not batch:
            return False
        suspects = await _Delivery(self._store, self._sink, self._usage).deliver(batch)
        for event, error in suspects:
            log.error(
                "a usage event can't be delivered, and is set aside",
                event_id=event.event_id,
                error=error.message,
            )
            await self._store.set_aside(event.event_id, f"{error.code.name} {error.reason}: {error.message}")
        size = sum(len(event.payload) for event in batch)
        return to_the_end or len(batch) >= self._most_events or size >= self._most_bytes // 2


class _Delivery:
    """The delivery of one batch."""

    def __init__(self, store: Outbox, sink: Sink, usage: ServiceUsage) -> None:
        self._store = store
        self._sink = sink
        self._usage = usage
        self._taken = False
        self._suspects: list[tuple[Waiting, ServiceError]] = []

    async def deliver(self, batch: Sequence[Waiting]) -> list[tuple[Waiting, ServiceError]]:
        """Deliver all that is taken. Returns the events that are not, each with its failure, when it is they who are at fault: the sink says
        so, or takes others. Raises the sink's failure when it may be the sink's own, and what may be tried again later."""
        await self._halved(batch)
        self._require_innocent()
        return self._suspects

    async def _halved(self, batch: Sequence[Waiting]) -> None:
        try:
            delivered = await self._sink.record([event.payload for event in batch])
        except ServiceError as error:
            self._usage.failed(error.code.name)
            if _may_pass(error):
                raise
            if len(batch) == 1:
                self._suspects.append((batch[0], error))
                if len(self._suspects) >= _SUSPECTS:
                    self._require_innocent()
                return
            middle = len(batch) // 2
            await self._halved(batch[:middle])
            await self._halved(batch[middle:])
        else:
            self._taken = True
            self._usage.delivered(delivered)
            await self._store.remove([event.event_id for event in batch])

    def _require_innocent(self) -> None:
        """Raise unless the sink works, as far as that can be told."""
        for _, error in self._suspects:
            if not self._taken and not isinstance(error, InvalidArgument):
                raise error


def _may_pass(error: ServiceError) -> bool:
    """Whether the same may be taken later on."""
    if isinstance(error, ResourceExhausted):
        return error.reason != _TOO_LARGE
    return isinstance(error, Unavailable | DeadlineExceeded)
