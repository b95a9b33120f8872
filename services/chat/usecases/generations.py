"""ResumeStream, GetGeneration and CancelGeneration, and the watching that StreamChat shares with them."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from services.chat.errors import EventsPruned, SeqOutOfRange
from services.chat.generation.failures import error_of
from services.chat.generation.generations import Generations
from services.chat.generation.live import LiveGeneration
from services.chat.generation.merging import merged
from services.chat.model import (
    Delta,
    Event,
    Finished,
    Generation,
    ReasoningDelta,
    Started,
    State,
    TextDelta,
    ToolCallDelta,
)
from services.chat.ports import RecordStore
from services.kernel.errors import NotFound, Unavailable
from services.kernel.principal import Principal

_ROWS_AT_ONCE = 256
_POLL_SECONDS = 0.05
_CANCEL_POLLS = 400


class ResumeTokens:
    """Tokens that stand for the owner of an anonymous caller's generation. They are computed, never stored."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, generation_id: str) -> str:
        """The token of a generation."""
        return hmac.digest(self._key, generation_id.encode(), hashlib.sha256).hex()[:40]

    def fits(self, token: str, generation_id: str) -> bool:
        """Whether `token` is the generation's."""
        return hmac.compare_digest(token.encode(), self.make(generation_id).encode())


@dataclass(frozen=True, slots=True)
class FindGeneration:
    """A generation, for whoever may see it."""

    records: RecordStore
    generations: Generations
    tokens: ResumeTokens

    async def __call__(self, principal: Principal, generation_id: str, resume_token: str) -> Generation:
        """The generation as far as it is durable. Raises NotFound when there is none, or when it is not the caller's."""
        live = self.generations.live(generation_id)
        if live is not None and live.ending is None:
            self._check(live.generation, principal, resume_token)
            return live.snapshot()
        generation = await self.records.generation(generation_id)
        if generation is None:
            raise NotFound.of("chat.generation", generation_id)
        self._check(generation, principal, resume_token)
        return generation

    def _check(self, generation: Generation, principal: Principal, resume_token: str) -> None:
        if generation.user_id:
            allowed = generation.user_id == principal.user_id
        else:
            allowed = self.tokens.fits(resume_token, generation.generation_id)
        if not allowed:
            raise NotFound.of("chat.generation", generation.generation_id)


@dataclass(frozen=True, slots=True)
class WatchGeneration:
    """The events of a generation, made here, made elsewhere, or ended."""

    records: RecordStore
    generations: Generations

    async def __call__(self, generation_id: str, after_seq: int) -> AsyncIterator[Event]:
        """The events after `after_seq` as they become durable. Ends with the record, or raises the failure that ended it.

        Raises SeqOutOfRange, EventsPruned and Unavailable, too. Whoever iterates closes the iterator.
        """
        live = self.generations.live(generation_id)
        source = self._stored(generation_id, after_seq) if live is None else self._live(live, after_seq)
        async with aclosing(source) as events:  # type: ignore[type-var]
            async for event in events:
                yield event

    async def _live(self, live: LiveGeneration, after_seq: int) -> AsyncIterator[Event]:
        async with aclosing(live.watch(after_seq)) as events:  # type: ignore[type-var]
            async for event in events:
                yield event
        if live.ending is not None and live.ending.failure is not None:
            raise error_of(live.ending.failure)

    async def _stored(self, generation_id: str, after_seq: int) -> AsyncIterator[Event]:
        position = after_seq
        generation = await self._found(generation_id)
        if after_seq > generation.last_seq:
            raise SeqOutOfRange(generation_id, after_seq, generation.last_seq)
        while True:
            if generation.events_pruned:
                for event in _from_message(generation, position):
                    yield event
                    position = event.seq
            while position < generation.last_seq or generation.state is State.RUNNING:
                events = await self.records.events(generation_id, position, _ROWS_AT_ONCE)
                if not events:
                    break
                if events[0].first_seq != position + 1:
                    raise SeqOutOfRange(generation_id, after_seq, generation.last_seq)
                for event in merged(events):
                    yield event
                position = events[-1].seq
            if generation.state is not State.RUNNING:
                _check_end(generation, position)
                return
            await asyncio.sleep(_POLL_SECONDS)
            # The state is read before the events: a record that had ended by then grows no more.
            if await self.records.state(generation_id) is not State.RUNNING:
                generation = await self._found(generation_id)

    async def _found(self, generation_id: str) -> Generation:
        generation = await self.records.generation(generation_id)
        if generation is None:
            raise NotFound.of("chat.generation", generation_id)
        return generation


def _check_end(generation: Generation, position: int) -> None:
    if position < generation.last_seq:
        # The events were pruned after the generation was read.
        raise EventsPruned(generation.generation_id)
    if generation.failure is not None:
        raise error_of(generation.failure)


def _from_message(generation: Generation, after_seq: int) -> list[Event]:
    """A record whose events are gone, told by its message."""
    if after_seq == generation.last_seq:
        return []
    if after_seq > 1:
        raise EventsPruned(generation.generation_id)
    time, end = generation.end_time or generation.create_time, generation.last_seq
    started = Started(
        generation.generation_id, generation.session_id, generation.message_id, generation.model
    )
    events = [Event(1, 1, time, started)]
    finished: Finished | None = None
    if generation.finish_reason is not None and generation.usage is not None:
        finished = Finished(generation.finish_reason, generation.message_id, generation.usage)
    # Positions stay dense and end where the record ended: one for each piece, and the rest for the last.
    pieces: list[Delta] = [ReasoningDelta(generation.reasoning)] if generation.reasoning else []
    pieces += [TextDelta(generation.text)] if generation.text else []
    pieces += [
        ToolCallDelta(index, call.tool_call_id, call.name, call.arguments)
        for index, call in enumerate(generation.tool_calls)
    ]
    made_end = end - 1 if finished else end
    if made_end > 1 and not pieces:
        pieces = [TextDelta("")]
    for seq, piece in enumerate(pieces, 2):
        events.append(Event(seq, made_end if piece is pieces[-1] else seq, time, piece))
    if finished:
        events.append(Event(end, end, time, finished))
    return events[after_seq:]


@dataclass(frozen=True, slots=True)
class CancelGeneration:
    """Ends a generation of this or of another replica."""

    find: FindGeneration
    records: RecordStore
    generations: Generations

    async def __call__(self, principal: Principal, generation_id: str, resume_token: str) -> Generation:
        """The generation as it ended. Raises NotFound and Unavailable."""
        generation = await self.find(principal, generation_id, resume_token)
        if not await self.generations.cancel(generation_id) and generation.state is State.RUNNING:
            await self.records.request_cancel(generation_id)
        for _ in range(_CANCEL_POLLS):
            if await self.records.state(generation_id) is not State.RUNNING:
                return await self.find(principal, generation_id, resume_token)
            await asyncio.sleep(_POLL_SECONDS)
        raise Unavailable(
            "whoever makes this answer has been asked to end it, and has not recorded its end yet; try again"
        )
