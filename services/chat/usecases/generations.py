"""ResumeStream, GetGeneration and CancelGeneration, and the watching that StreamChat shares with them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from services.chat.errors import EventsPruned, SeqOutOfRange
from services.chat.generation.generations import Generations
from services.chat.generation.live import LiveGeneration
from services.chat.generation.merging import merged
from services.chat.generation.tails import ROWS_AT_ONCE, RemoteTails
from services.chat.model import (
    Delta,
    Event,
    Fallback,
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
from services.kernel.failures import error_of
from services.kernel.ownership import OwnerTokens
from services.kernel.principal import Principal

_POLL_SECONDS = 0.05
_CANCEL_POLLS = 400


@dataclass(frozen=True, slots=True)
class FindGeneration:
    """A generation, for whoever may see it."""

    records: RecordStore
    generations: Generations
    tokens: OwnerTokens

    async def __call__(self, principal: Principal, generation_id: str, resume_token: str) -> Generation:
        """The generation as far as it is durable. Raises NotFound when there is none, or when it is not the caller's."""
        live = self._live(generation_id)
        if live is not None:
            self._check(live.generation, principal, resume_token)
            return live.snapshot()
        return self._checked(
            await self.records.generation(generation_id), principal, generation_id, resume_token
        )

    async def head(self, principal: Principal, generation_id: str, resume_token: str) -> Generation:
        """The same without what was made, however long its record is."""
        live = self._live(generation_id)
        if live is not None:
            self._check(live.generation, principal, resume_token)
            return live.generation
        return self._checked(await self.records.head(generation_id), principal, generation_id, resume_token)

    def _live(self, generation_id: str) -> LiveGeneration | None:
        live = self.generations.live(generation_id)
        return live if live is not None and live.ending is None else None

    def _checked(
        self, stored: Generation | None, principal: Principal, generation_id: str, resume_token: str
    ) -> Generation:
        if stored is None or stored.forgotten:
            raise NotFound.of("chat.generation", generation_id)
        self._check(stored, principal, resume_token)
        return stored

    def _check(self, generation: Generation, principal: Principal, resume_token: str) -> None:
        if generation.user_id:
            allowed = generation.user_id == principal.user_id
        else:
            allowed = self.tokens.fits(resume_token, generation.generation_id)
        if not allowed:
            raise NotFound.of("chat.generation", generation.generation_id)


@dataclass(frozen=True, slots=True)
class AwaitGeneration:
    """The whole answer, for whoever does not want it as a stream."""

    find: FindGeneration
    generations: Generations

    async def __call__(
        self, principal: Principal, events: AsyncIterator[Event], generation_id: str, resume_token: str
    ) -> Generation:
        """The generation, once its `events` have come to their end. Raises what they raise, and what FindGeneration does."""
        # Held while it is watched: what was made here need not be read back.
        live = self.generations.live(generation_id)
        async for _ in events:
            pass
        made = live.result() if live is not None else None
        return made or await self.find(principal, generation_id, resume_token)


@dataclass(frozen=True, slots=True)
class WatchGeneration:
    """The events of a generation, made here, made elsewhere, or ended.

    Whoever watches gets every event after its position once, in order and without gaps, and none that is not on record. What is made here
    is shown as soon as it is durable; what is made elsewhere within 50 ms as a rule, and within 1 s while announcements get lost. It counts
    as a watcher on every replica for as long as the iteration lasts, whether it reads or not, and costs no more than the events that are read
    at once.
    """

    records: RecordStore
    generations: Generations
    remote: RemoteTails

    async def __call__(self, generation_id: str, after_seq: int) -> AsyncIterator[Event]:
        """The events after `after_seq` as they become durable. Ends with the record, or raises the failure that ended it, which is
        GenerationInterrupted when whoever made it died, once another replica has noticed.

        Raises SeqOutOfRange for a position within an event or past the end, EventsPruned and Unavailable, too; after Unavailable the same
        call goes on behind the last event. Whoever iterates closes the iterator.
        """
        live = self.generations.live(generation_id)
        if live is not None:
            source = self._live(live, after_seq)
        else:
            source = await self._stored(generation_id, after_seq)
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
        found = await self.records.events(generation_id, after_seq, ROWS_AT_ONCE)
        if found and found[0].first_seq != after_seq + 1:
            raise await self._out_of_range(generation_id, after_seq)
        if not _is_whole(found) and await self.records.state(generation_id) is State.RUNNING:
            if not found:
                await self._check_begun(generation_id, after_seq)
            return self._remote(generation_id, after_seq, found)
        return self._ended(generation_id, after_seq, found)

    async def _remote(
        self, generation_id: str, after_seq: int, found: Sequence[Event] | None
    ) -> AsyncIterator[Event]:
        position, live = after_seq, None
        async with self.remote.following(generation_id) as tail:
            while live is None and found is not None:
                for event in merged(found):
                    yield event
                if _is_whole(found):
                    return
                position = found[-1].seq if found else position
                version = tail.version
                found = await tail.read(position)
                if found == ():
                    # The call that begins it here may be between the store and its first step.
                    live = self.generations.live(generation_id)
                    if live is None:
                        await tail.changed(version)
        rest = self._ended(generation_id, position, ()) if live is None else self._live(live, position)
        async with aclosing(rest) as events:  # type: ignore[type-var]
            async for event in events:
                yield event

    async def _ended(
        self, generation_id: str, after_seq: int, found: Sequence[Event]
    ) -> AsyncIterator[Event]:
        position = after_seq
        while found := found or await self.records.events(generation_id, position, ROWS_AT_ONCE):
            for event in merged(found):
                yield event
            if _is_whole(found):
                return
            position, found = found[-1].seq, ()
        generation = await self._found(generation_id)
        if position > generation.last_seq:
            raise SeqOutOfRange(generation_id, after_seq, generation.last_seq)
        if generation.events_pruned:
            whole = await self.records.generation(generation_id) or generation
            for event in _from_message(whole, position):
                yield event
        elif position < generation.last_seq:
            # The events were pruned after they were looked for.
            raise EventsPruned(generation_id)
        if generation.failure is not None:
            raise error_of(generation.failure)

    async def _check_begun(self, generation_id: str, after_seq: int) -> None:
        """Raise SeqOutOfRange when the record does not reach the position."""
        if after_seq and not await self.records.events(generation_id, after_seq - 1, 1):
            generation = await self._found(generation_id)
            if after_seq > generation.last_seq:
                raise SeqOutOfRange(generation_id, after_seq, generation.last_seq)

    async def _out_of_range(self, generation_id: str, after_seq: int) -> SeqOutOfRange:
        return SeqOutOfRange(generation_id, after_seq, (await self._found(generation_id)).last_seq)

    async def _found(self, generation_id: str) -> Generation:
        generation = await self.records.head(generation_id)
        if generation is None or generation.forgotten:
            raise NotFound.of("chat.generation", generation_id)
        return generation


def _is_whole(events: Sequence[Event]) -> bool:
    """Whether a record ends with these."""
    return bool(events) and isinstance(events[-1].body, Finished)


def _from_message(generation: Generation, after_seq: int) -> list[Event]:
    """A record whose events are gone, told by its message."""
    if after_seq == generation.last_seq:
        return []
    if after_seq > 1:
        raise EventsPruned(generation.generation_id)
    time, end = generation.end_time or generation.create_time, generation.last_seq
    asked = generation.requested_model or generation.model
    started = Started(generation.generation_id, generation.session_id, generation.message_id, asked)
    events = [Event(1, 1, time, started)]
    finished: Finished | None = None
    if generation.finish_reason is not None and generation.usage is not None:
        finished = Finished(generation.finish_reason, generation.message_id, generation.usage)
    # Positions stay dense and end where the record ended: one for each piece, and the rest for the last.
    pieces: list[Delta | Fallback] = []
    if generation.model != asked:
        # Which models failed between the two, and why, went with the events.
        pieces.append(Fallback(generation.model, generation.provider, asked, ""))
    pieces += [ReasoningDelta(generation.reasoning)] if generation.reasoning else []
    pieces += [TextDelta(generation.text)] if generation.text else []
    pieces += [
        ToolCallDelta(index, call.tool_call_id, call.name, call.arguments)
        for index, call in enumerate(generation.tool_calls)
    ]
    made_end = end - 1 if finished else end
    if made_end > len(pieces) + 1 and (not pieces or isinstance(pieces[-1], Fallback)):
        pieces.append(TextDelta(""))
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
        generation = await self.find.head(principal, generation_id, resume_token)
        if not await self.generations.cancel(generation_id) and generation.state is State.RUNNING:
            await self.records.request_cancel(generation_id)
        for _ in range(_CANCEL_POLLS):
            if await self.records.state(generation_id) is not State.RUNNING:
                return await self.find(principal, generation_id, resume_token)
            await asyncio.sleep(_POLL_SECONDS)
        raise Unavailable(
            "whoever makes this answer has been asked to end it, and has not recorded its end yet; try again"
        )
