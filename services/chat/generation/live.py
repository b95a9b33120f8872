"""A generation that this process makes: its record so far, and who watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from services.chat.errors import SeqOutOfRange
from services.chat.generation.merging import Merge, assembled, merged, size_of
from services.chat.model import (
    Delta,
    Ending,
    Event,
    Fallback,
    Finished,
    Generation,
)

# A fixed cost of every delta beside its text, so that endless empty ones are bounded, too.
_DELTA_BYTES = 16
# What is merged for a watcher is a copy of its own, and of one that does not read it stays.
_SHOWN_AT_ONCE = 256


class LiveGeneration:
    """The record of one generation while it is made.

    Deltas go through three places: `add` puts them behind the pending ones, merged where they are of the same kind; `take` hands the
    pending ones to the writer; `committed` moves those into the durable record, which is all that watchers see.
    """

    def __init__(self, generation: Generation, started: Event) -> None:
        self.generation = generation
        self.first_token_time: datetime | None = None
        self.size_bytes = 0
        # Of the tokenizer of the model that was asked last.
        self.family = ""
        self.ending: Ending | None = None
        self._durable: list[Event] = [started]
        self._pending: list[Merge] = []
        self._last_seq = started.seq
        self._settled = asyncio.Event()
        self._settled.set()
        self._lost = False
        self._watchers: set[asyncio.Event] = set()
        self.on_watchers: Callable[[int], None] | None = None
        self.on_lost: Callable[[], None] | None = None
        self.on_grown: Callable[[], None] | None = None

    @property
    def generation_id(self) -> str:
        """Whose record it is."""
        return self.generation.generation_id

    @property
    def last_seq(self) -> int:
        """The last position, durable or not."""
        return self._last_seq

    @property
    def lost(self) -> bool:
        """Whether a flush was refused: nothing may be put on record behind the hole that it left."""
        return self._lost

    @property
    def has_content(self) -> bool:
        """Whether the model has made anything."""
        return self.first_token_time is not None

    # -- the writer's side

    def add(self, deltas: Iterable[Delta]) -> None:
        """Put deltas behind the record. Each takes the next position; those of a lost one lead nowhere."""
        if self._lost:
            return
        now = datetime.now(UTC)
        if self.first_token_time is None:
            self.first_token_time = now
        for delta in deltas:
            self._last_seq += 1
            self.size_bytes += _DELTA_BYTES + size_of(delta)
            last = self._pending[-1] if self._pending else None
            if last is None or not last.takes(delta):
                self._pending.append(Merge(self._last_seq, now, delta))
            else:
                last.take(self._last_seq, delta)

    def fall_back(self, fallback: Fallback) -> None:
        """Another model answers from here on."""
        self.generation = replace(self.generation, model=fallback.model, provider=fallback.provider)
        if not self._lost:
            self._last_seq += 1
            self._pending.append(Merge(self._last_seq, datetime.now(UTC), fallback))

    @property
    def has_pending(self) -> bool:
        """Whether something waits for the writer."""
        return bool(self._pending)

    def take(self) -> list[Event]:
        """The pending events, for a flush that is about to begin; `committed` or `refused` must follow."""
        events = [merge.event() for merge in self._pending]
        self._pending.clear()
        self._settled.clear()
        return events

    def committed(self, events: Sequence[Event]) -> None:
        """These events are durable: show them."""
        self._durable.extend(events)
        self._landed()
        self._tell_grown()

    def refused(self) -> None:
        """The flush was not stored, and will not be: the generation is somebody else's now, or the store is gone."""
        self._lost = True
        self._pending.clear()
        self._landed()
        if self.on_lost is not None:
            self.on_lost()

    def _landed(self) -> None:
        self._settled.set()
        self._wake()

    async def settled(self) -> None:
        """Wait until no flush of this generation is in flight."""
        # Between a flush's landing and the waking of whoever waits for it, the writer may have begun the next one.
        while not self._settled.is_set():
            await self._settled.wait()

    def last_events(self, finished: Finished | None) -> list[Event]:
        """What the final write has to put on record: the pending events, and `finished` behind them."""
        events = [merge.event() for merge in self._pending]
        self._pending.clear()
        if finished is not None:
            self._last_seq += 1
            events.append(Event(self._last_seq, self._last_seq, datetime.now(UTC), finished))
        return events

    def ended(self, ending: Ending) -> None:
        """The final write is durable."""
        self._durable.extend(ending.last_events)
        self.ending = ending
        self._wake()
        self._tell_grown()

    def abandoned(self, ending: Ending) -> None:
        """The end could not be recorded: watchers are told, and the record is finished by whoever takes it over."""
        self._pending.clear()
        self.ending = ending
        self._wake()

    def _tell_grown(self) -> None:
        if self.on_grown is not None:
            self.on_grown()

    # -- the watchers' side

    def _wake(self) -> None:
        for watcher in self._watchers:
            watcher.set()

    async def watch(self, after_seq: int) -> AsyncIterator[Event]:
        """The durable events after `after_seq`, then those to come; what piled up meanwhile comes merged. Ends with the record.

        Raises SeqOutOfRange when `after_seq` is no boundary of the durable record.
        """
        position = self._position(after_seq)
        changed = asyncio.Event()
        self._join(changed)
        try:
            while True:
                changed.clear()
                ready = self._durable[position : position + _SHOWN_AT_ONCE]
                position += len(ready)
                for event in merged(ready):
                    yield event
                if position == len(self._durable):
                    if self.ending is not None:
                        return
                    await changed.wait()
        finally:
            self._watchers.discard(changed)
            self._count()

    def _join(self, changed: asyncio.Event) -> None:
        self._watchers.add(changed)
        self._count()

    def _count(self) -> None:
        if self.on_watchers is not None:
            self.on_watchers(len(self._watchers))

    def _position(self, after_seq: int) -> int:
        if after_seq == 0:
            return 0
        for position in range(len(self._durable) - 1, -1, -1):
            if self._durable[position].seq == after_seq:
                return position + 1
            if self._durable[position].seq < after_seq:
                break
        raise SeqOutOfRange(self.generation_id, after_seq, self._durable[-1].seq)

    # -- what has been made

    def snapshot(self) -> Generation:
        """The generation as far as its record is durable."""
        return replace(self.generation, last_seq=self._durable[-1].seq, **assembled(self._durable))  # type: ignore[arg-type]

    def result(self) -> Generation | None:
        """The generation as it is in the store, once it has ended well there; None before, and when it failed."""
        ending = self.ending
        if ending is None or ending.failure is not None:
            return None
        # One copy with all that changed, since this is made for each call.
        return replace(
            self.generation,
            last_seq=self._durable[-1].seq,
            state=ending.state,
            finish_reason=ending.finish_reason,
            usage=ending.usage,
            end_time=ending.end_time,
            **assembled(self._durable),  # type: ignore[arg-type]
        )

    def whole(self, last_events: Sequence[Event]) -> dict[str, object]:
        """Text, reasoning and tool calls of the record with `last_events` behind it."""
        return assembled([*self._durable, *last_events])
