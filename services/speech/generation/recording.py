"""Audio while it is made: recorded once, watched by any number from its beginning, each at its own pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from weakref import WeakValueDictionary

from services.speech.errors import AudioTooLong
from services.speech.generation.spool import Spool, SpoolSpace
from services.speech.model import Batch, Ending, Generation, Piece, Used, Word

_READ_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the audio with its bytes; `start` and `samples` are in samples at `sample_rate`."""

    data: bytes
    start: int
    samples: int
    sample_rate: int


@dataclass(frozen=True, slots=True)
class Said:
    """A word that is spoken, with the rate that its times are counted at."""

    word: Word
    sample_rate: int


class Recording:
    """The audio of a generation. Whoever makes it or watches it holds it; with the last one its bytes go."""

    def __init__(
        self, generation: Generation, space: SpoolSpace, *, gives_words: bool, longest: float
    ) -> None:
        """`space` is where a long one is kept meanwhile; `gives_words` says whether there are to be any words; `longest` are the seconds that it may
        last."""
        self.generation = generation
        self.gives_words = gives_words
        self.spool = Spool(space)
        self._longest = longest
        self.pieces: list[Piece] = []
        self.words: list[Word] = []
        self.sample_rate = 0
        self.samples = 0
        self.characters = 0
        self.cost_usd: float | None = None
        self.first_audio: timedelta | None = None
        self.over = False
        self._began = time.monotonic()
        # Pieces and words in the order in which watchers are told of them.
        self.told: list[Piece | Word] = []
        self._watches: set[Watch] = set()
        self._holders = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """The bytes are there while the block runs."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self.spool.close()

    @contextmanager
    def made(self) -> Iterator[None]:
        """While the block runs it is made; at its end it is over, however that went."""
        with self.held():
            try:
                yield
            finally:
                self._finish()

    @contextmanager
    def watched(self) -> Iterator[Watch]:
        """Somebody watches it while the block runs."""
        watch = Watch(self)
        with self.held():
            self._watches.add(watch)
            try:
                yield watch
            finally:
                self._watches.discard(watch)

    @property
    def milliseconds(self) -> int:
        """How long the audio is by now."""
        return round(self.samples * 1000 / self.sample_rate) if self.sample_rate else 0

    @property
    def used(self) -> Used:
        """What was spoken by now: the text by whole segments, and all of the audio."""
        return Used(self.characters, self.milliseconds)

    async def add(self, batch: Batch) -> None:
        """What comes next. Raises AudioTooLong when it is longer than it may be, SpoolFull and Unavailable when there is no room for it."""
        await self.spool.append(batch.data)
        if self.first_audio is None and batch.pieces:
            self.first_audio = timedelta(seconds=time.monotonic() - self._began)
        self.sample_rate, self.characters = batch.sample_rate, batch.characters
        self._tell(batch)
        if self.samples > self._longest * self.sample_rate:
            raise AudioTooLong(self.generation.generation_id, self._longest)
        self.pieces.extend(batch.pieces)
        self.words.extend(batch.words)
        self._wake()

    async def end(self, ending: Ending) -> None:
        """That was all of it, and the bytes are those of the file from now on. Whoever has come to what is different in it by then was told of
        a file whose length is not known."""
        self.cost_usd = ending.cost_usd
        self._finish()
        for patch in ending.patches:
            await self.spool.replace(patch.position, patch.data)

    def _finish(self) -> None:
        self.over = True
        self._wake()

    def _tell(self, batch: Batch) -> None:
        """Each word before the piece that it begins in, as far as it is known by then."""
        words = iter(batch.words)
        word = next(words, None)
        for piece in batch.pieces:
            self.samples += piece.samples
            while word is not None and word.start < self.samples:
                self.told.append(word)
                word = next(words, None)
            self.told.append(piece)
        while word is not None:
            self.told.append(word)
            word = next(words, None)

    def _wake(self) -> None:
        for watch in self._watches:
            watch.wake()


class Watch:
    """One who watches a recording."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._more = asyncio.Event()
        self._stopped = False

    def wake(self) -> None:
        """There is more to see."""
        self._more.set()

    def stop(self) -> None:
        """It is to see no more than there is by now."""
        self._stopped = True
        self.wake()

    async def all(self) -> AsyncGenerator[Chunk | Said, None]:
        """All of it from the beginning, as it comes, until nothing more does. Raises Unavailable when the disk fails."""
        recording, told, start, position = self._recording, 0, 0, 0
        block, block_start = b"", 0
        while True:
            self._more.clear()
            while told < len(recording.told):
                one = recording.told[told]
                told += 1
                if isinstance(one, Word):
                    yield Said(one, recording.sample_rate)
                    continue
                end = position + one.data_bytes
                if end > block_start + len(block):
                    block_start, block = (
                        position,
                        await recording.spool.read(position, max(one.data_bytes, _READ_BYTES)),
                    )
                data = block[position - block_start : end - block_start]
                yield Chunk(data, start, one.samples, recording.sample_rate)
                position, start = end, start + one.samples
            if recording.over or self._stopped:
                return
            await self._more.wait()


class Recordings:
    """The recordings of this process that are being made or watched, by the id of their generation."""

    def __init__(self, space: SpoolSpace, *, longest: float, anonymous_longest: float) -> None:
        """`space` is where long ones are kept meanwhile; the others are the seconds that one may last, and one of callers without a credential."""
        self._space = space
        self._longest = longest
        self._anonymous_longest = anonymous_longest
        # A recording lives as long as the call that makes it: one whose generation never began is gone with that.
        self._live: WeakValueDictionary[str, Recording] = WeakValueDictionary()

    def of(self, generation_id: str) -> Recording | None:
        """The recording of a generation that this process makes."""
        return self._live.get(generation_id)

    def begin(self, generation: Generation, *, gives_words: bool) -> Recording:
        """A recording that is to be made."""
        longest = self._longest if generation.user_id else self._anonymous_longest
        recording = Recording(generation, self._space, gives_words=gives_words, longest=longest)
        self._live[generation.generation_id] = recording
        return recording
