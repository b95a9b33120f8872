"""The record writer: one per process, one write in flight, all generations in one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from services.chat.generation.live import LiveGeneration
from services.chat.model import Event, Lease
from services.chat.ports import Flush, RecordStore
from services.kernel.errors import Unavailable

log = structlog.get_logger(__name__)

_MOST_GENERATIONS = 512
_RETRY_SECONDS = (0.05, 0.2, 0.5, 1.0, 2.0, 2.0, 2.0, 2.0)


class LeaseHolder(Protocol):
    """Whoever holds this process's lease."""

    @property
    def lease(self) -> Lease:
        """The lease to write under."""
        ...


class RecordWriter:
    """Commits the pending events of all generations, and shows them to watchers only then.

    While a write is in flight, what arrives gathers behind it and is merged, so the writer batches itself under load and never
    waits for a timer when it is idle.
    """

    def __init__(self, store: RecordStore, holder: LeaseHolder) -> None:
        self._store = store
        self._holder = holder
        self._dirty: dict[str, LiveGeneration] = {}
        self._work = asyncio.Event()

    def mark(self, live: LiveGeneration) -> None:
        """`live` has pending events."""
        self._dirty[live.generation_id] = live
        self._work.set()

    def forget(self, live: LiveGeneration) -> None:
        """The final write takes what is pending of `live`."""
        self._dirty.pop(live.generation_id, None)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._dirty:
                await self._flush(self._take())

    def _take(self) -> list[tuple[LiveGeneration, list[Event]]]:
        batch = []
        for generation_id in list(self._dirty)[:_MOST_GENERATIONS]:
            live = self._dirty.pop(generation_id)
            try:
                if live.has_pending:
                    batch.append((live, live.take()))
            except Exception:
                log.exception(
                    "the events of a generation could not be made; it ends", generation_id=generation_id
                )
                live.refused()
        return batch

    async def _flush(self, batch: Sequence[tuple[LiveGeneration, list[Event]]]) -> None:
        if not batch:
            return
        try:
            accepted = await self._write([Flush(live.generation_id, events) for live, events in batch])
        except Exception:
            if len(batch) > 1:
                # Whatever can't be stored is one generation's; the others are not to end with it.
                log.exception("records could not be written together; writing one by one")
                for one in batch:
                    await self._flush([one])
                return
            log.exception("a record could not be written; its generation ends")
            accepted = set()
        for live, events in batch:
            if live.generation_id in accepted:
                live.committed(events)
            else:
                live.refused()

    async def _write(self, flushes: Sequence[Flush]) -> set[str]:
        # The same rows are offered again after a failure: whether the last attempt had committed is not known, and the store takes
        # a row twice. What can't be stored for all that time is given up, and its generations with it.
        for pause in (*_RETRY_SECONDS, None):
            try:
                return await self._store.append(self._holder.lease, flushes)
            except Unavailable as error:
                if pause is None:
                    log.error(
                        "records could not be written; their generations end",
                        generations=len(flushes),
                        error=error.message,
                    )
                    return set()
                log.warning(
                    "records could not be written; trying again",
                    generations=len(flushes),
                    error=error.message,
                )
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")
