"""StreamSynthesize: have a text spoken and hear it while it is made, or hear again what an earlier call made."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

import structlog

from services.capabilities.blobs.ports import Blobs
from services.capabilities.generations.calling import RepeatableCall
from services.capabilities.generations.running import Generations, Waiting, in_time
from services.kernel.errors import ServiceError, Unavailable
from services.kernel.principal import Principal
from services.speech.errors import ConversionDeleted
from services.speech.generation.documents import Timeline, timeline_of
from services.speech.generation.objects import keys_of
from services.speech.generation.recording import Chunk, Recording, Recordings, Said, in_order
from services.speech.model import ANONYMOUS, Conversion, Format, Generation, Piece, SpeechCall, Word
from services.speech.usecases.synthesize import Preparation

log = structlog.get_logger(__name__)

_ATTEMPTS = 3
# A record has some twenty bytes for each piece and forty for each word.
_LARGEST_RECORD = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Started:
    """How the text is spoken."""

    conversion_id: str
    model: str
    provider: str
    voice: str
    language: str
    format: Format
    gives_words: bool
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Finished:
    """The conversion, stored, and what was sent of it: `samples` at the conversion's rate, and how many bytes, chunks and words."""

    conversion: Conversion
    samples: int
    audio_bytes: int
    chunks: int
    words: int


Event = Started | Chunk | Said | Finished


@dataclass(frozen=True, slots=True)
class StreamSynthesize:
    """Speaks texts to those who listen."""

    prepare: Preparation
    call: RepeatableCall[Generation, Conversion]
    generations: Generations[Generation, Conversion]
    recordings: Recordings
    blobs: Blobs

    async def __call__(
        self, principal: Principal, call: SpeechCall, remaining: float | None
    ) -> AsyncGenerator[Event, None]:
        """Started, the audio and its words, and Finished. `remaining` is the caller's deadline in seconds from now.

        Raises what Synthesize raises, also behind a part of the audio. Whoever closes this calls it off, unless others wait for it, or all
        of the audio is there already.
        """
        end = None if remaining is None else asyncio.get_running_loop().time() + in_time(remaining)
        prepare = await self.prepare(principal, call)
        caller = principal.user_id or ANONYMOUS
        for _ in range(_ATTEMPTS):
            generation_id = await self.call.begun(caller, call.request_id, call.digest, prepare)
            recording = self.recordings.of(generation_id)
            waiting = None if recording is None else self.generations.join(generation_id)
            if recording is not None and waiting is not None:
                async with aclosing(self._live(waiting, recording, end)) as events:
                    async for event in events:
                        yield event
                return
            conversion = await self.call.result(generation_id, call.request_id, end)
            if conversion is not None:
                async with aclosing(self._again(conversion, call.request_id)) as events:
                    async for event in events:
                        yield event
                return
            # Whoever had it made has called it off, or its server died: the id is free again.
        raise Unavailable("an earlier call with this request_id is still being ended; try again")

    async def _live(
        self, waiting: Waiting[Generation, Conversion], recording: Recording, end: float | None
    ) -> AsyncGenerator[Event, None]:
        """What is made in this process, while it is made."""
        generation, order = recording.generation, recording.generation.order
        with contextlib.ExitStack() as stack:
            stack.callback(waiting.leave)
            watch = stack.enter_context(recording.watched())
            outcome = asyncio.create_task(waiting.outcome(end))
            outcome.add_done_callback(lambda done: watch.stop() if _failed(done) else None)
            try:
                yield Started(
                    generation.generation_id,
                    order.model,
                    order.provider,
                    order.voice,
                    order.language,
                    order.format,
                    recording.gives_words,
                    generation.create_time,
                )
                sent = _Sent()
                async with aclosing(watch.all()) as events:
                    async for event in events:
                        sent.count(event)
                        yield event
                conversion = await outcome
                # Whoever reads more slowly than it is made has the rest from where it is kept.
                rest = self._stored(
                    conversion, watch.left, watch.position, watch.start, generation.request_id
                )
                async with aclosing(rest) as events:
                    async for event in events:
                        sent.count(event)
                        yield event
                yield sent.finished(conversion)
            finally:
                outcome.cancel()
                await asyncio.gather(outcome, return_exceptions=True)

    async def _again(self, conversion: Conversion, request_id: str) -> AsyncGenerator[Event, None]:
        """What is stored, in the pieces that it was sent in first."""
        timeline = await self._timeline(conversion, request_id)
        yield Started(
            conversion.conversion_id,
            conversion.model,
            conversion.provider,
            conversion.voice,
            conversion.language,
            conversion.format,
            timeline.gives_words,
            conversion.create_time,
        )
        sent = _Sent()
        told = in_order(timeline.pieces, timeline.words, 0)
        async with aclosing(self._stored(conversion, told, 0, 0, request_id)) as events:
            async for event in events:
                sent.count(event)
                yield event
        yield sent.finished(conversion)

    async def _stored(
        self,
        conversion: Conversion,
        told: Sequence[Piece | Word],
        position: int,
        start: int,
        request_id: str,
    ) -> AsyncGenerator[Chunk | Said, None]:
        """Pieces and words of what is kept, from a position in its bytes and its samples on. Raises ConversionDeleted."""
        if not told:
            return
        async with self.blobs.open(keys_of(conversion).audio) as opened:
            if opened is None:
                raise await self._missing(conversion, request_id)
            if opened.size != conversion.file_size_bytes:
                raise _damaged(conversion)
            async for event in _cut(told, _from(position, opened.chunks), start, conversion.sample_rate):
                yield event

    async def _timeline(self, conversion: Conversion, request_id: str) -> Timeline:
        try:
            blob = await self.blobs.get(keys_of(conversion).record, _LARGEST_RECORD)
            if blob is None:
                raise await self._missing(conversion, request_id)
            return await asyncio.to_thread(timeline_of, blob.data)
        except ValueError:
            raise _damaged(conversion) from None

    async def _missing(self, conversion: Conversion, request_id: str) -> ServiceError:
        """Whoever deletes it takes the row first."""
        gone = await self.call.kept(conversion.conversion_id) is None
        return ConversionDeleted(request_id) if gone else _damaged(conversion)


class _Sent:
    """What was sent by now."""

    def __init__(self) -> None:
        self.samples = self.bytes = self.chunks = self.words = 0

    def count(self, event: Chunk | Said) -> None:
        if isinstance(event, Said):
            self.words += 1
            return
        self.samples += event.samples
        self.bytes += len(event.data)
        self.chunks += 1

    def finished(self, conversion: Conversion) -> Finished:
        return Finished(conversion, self.samples, self.bytes, self.chunks, self.words)


async def _cut(
    told: Sequence[Piece | Word], blocks: AsyncIterator[bytes], start: int, sample_rate: int
) -> AsyncIterator[Chunk | Said]:
    """What is told, the pieces cut out of a file that comes in blocks."""
    held = bytearray()
    for one in told:
        if isinstance(one, Word):
            yield Said(one, sample_rate)
            continue
        while len(held) < one.data_bytes and (block := await anext(blocks, None)) is not None:
            held += block
        yield Chunk(bytes(held[: one.data_bytes]), start, one.samples, sample_rate)
        del held[: one.data_bytes]
        start += one.samples


async def _from(position: int, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The blocks without what is before this position."""
    async for block in blocks:
        if position < len(block):
            yield block[position:]
        position = max(0, position - len(block))


def _failed(outcome: asyncio.Task[Conversion]) -> bool:
    return outcome.cancelled() or outcome.exception() is not None


def _damaged(conversion: Conversion) -> ServiceError:
    log.error("the objects of a conversion are not what was stored", conversion_id=conversion.conversion_id)
    return ServiceError("the stored audio is damaged; tell the operator")
