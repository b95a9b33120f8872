"""The recording of ends: what was made is offered to the store until the store takes it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog

from services.capabilities.metering.meter import Meter
from services.chat.errors import GenerationInterrupted
from services.chat.generation.endings import ending_of_stored, usage_event_of
from services.chat.generation.live import LiveGeneration
from services.chat.generation.writer import LeaseHolder
from services.chat.model import Ending, Generation, State
from services.chat.ports import RecordStore
from services.kernel.errors import Unavailable
from services.kernel.failures import Failure, failure_of

log = structlog.get_logger(__name__)

_FIRST_RETRY_SECONDS = 0.05
_LONGEST_RETRY_SECONDS = 5.0
_TELL_WATCHERS_AFTER_SECONDS = 10.0


class EndRecorder:
    """Makes the final write of generations, together with their usage event."""

    def __init__(self, store: RecordStore, holder: LeaseHolder, meter: Meter) -> None:
        self._store = store
        self._holder = holder
        self._meter = meter

    async def record(self, live: LiveGeneration, ending: Ending) -> None:
        """Record the end of a generation of this process, and show it to its watchers."""
        event = self._meter.taken(usage_event_of(live.generation, ending, live.first_token_time))
        loop = asyncio.get_running_loop()
        began, pause = loop.time(), _FIRST_RETRY_SECONDS
        while True:
            try:
                kept = await self._store.finish(self._holder.lease, live.generation, ending, event)
            except Unavailable as error:
                # What was made is not given up while this process lives: the end is offered until the store takes it.
                log.warning("the end of a generation could not be written; trying again", error=error.message)
                if loop.time() - began > _TELL_WATCHERS_AFTER_SECONDS and live.ending is None:
                    live.abandoned(_unrecorded(ending))
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_RETRY_SECONDS)
                continue
            if kept:
                self._meter.stored(event)
            if live.ending is None:
                if kept:
                    live.ended(ending)
                else:
                    live.abandoned(_lost(live, ending))
            return

    async def end(self, generation_id: str, failure: Failure | None = None) -> bool:
        """End a generation that nobody makes any more and that runs in the store under this process's lease, as interrupted unless it failed.

        What the store does not take with its content it gets without, so that nobody waits for its end for ever. Returns False when it
        takes neither. Raises Unavailable.
        """
        for read in (self._store.generation, self._store.head):
            try:
                stored = await read(generation_id)
                if stored is not None and stored.state is State.RUNNING:
                    await self._end(stored, failure)
            except Unavailable:
                raise
            except Exception:
                # One record that can't be ended must keep neither the others, nor the lease, nor the start from theirs.
                log.exception("a generation could not be ended", generation_id=generation_id)
            else:
                return True
        return False

    async def _end(self, stored: Generation, failure: Failure | None) -> None:
        ending = ending_of_stored(stored, failure)
        event = self._meter.taken(usage_event_of(stored, ending, None))
        if await self._store.finish(self._holder.lease, stored, ending, event):
            self._meter.stored(event)
            log.info("a generation that was left running was ended", generation_id=stored.generation_id)

    async def end_stored(self, generation_id: str, failure: Failure | None = None) -> None:
        """The same as soon as the store can be reached."""
        pause = _FIRST_RETRY_SECONDS
        while True:
            try:
                await self.end(generation_id, failure)
            except Unavailable as error:
                log.warning("a generation could not be ended; trying again", error=error.message)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_RETRY_SECONDS)
            else:
                return


def _unrecorded(ending: Ending) -> Ending:
    error = Unavailable(
        "the end of this answer can't be recorded now; resume or read the generation again later"
    )
    return _failed(ending, State.FAILED, failure_of(error))


def _lost(live: LiveGeneration, ending: Ending) -> Ending:
    return _failed(ending, State.INTERRUPTED, failure_of(GenerationInterrupted(live.generation_id)))


def _failed(ending: Ending, state: State, failure: Failure) -> Ending:
    return replace(ending, state=state, finish_reason=None, failure=failure, last_events=())
