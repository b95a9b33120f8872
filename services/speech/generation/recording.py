"""Audio while it is made: recorded once, watched by any number from its beginning, each at its own pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
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
        self.closed = False
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
                self.closed = True
                self.spool.close()

    @contextmanager
    def made(self) -> Iterator[None]:
        """While the block runs it is made; at its end it is over, however that went, and its bytes go: whoever has not come so far goes on with
        what is stored."""
        with self.held():
            try:
                yield
            finally:
                self._finish()

    @contextmanager
    def watched(self) -> Iterator[Watch]:
        """Somebody watches it while the block runs."""
        watch = Watch(self)
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
        await self.spool.replace([(patch.position, patch.data) for patch in ending.patches])

    def _finish(self) -> None:
        self.over = True
        self._wake()

    def _tell(self, batch: Batch) -> None:
        self.told += in_order(batch.pieces, batch.words, self.samples)
        self.samples += sum(piece.samples for piece in batch.pieces)

    def _wake(self) -> None:
        for watch in self._watches:
            watch.wake()


def in_order(pieces: Sequence[Piece], words: Sequence[Word], samples: int) -> list[Piece | Word]:
    """The order in which listeners are told of them: each word before the piece that it begins in, as far as it is known by then. `samples` are
    those before the first piece."""
    told: list[Piece | Word] = []
    left = iter(words)
    word = next(left, None)
    for piece in pieces:
        samples += piece.samples
        while word is not None and word.start < samples:
            told.append(word)
            word = next(left, None)
        told.append(piece)
    return told if word is None else [*told, word, *left]


class Watch:
    """One who watches a recording. `told` is how much of what is told there it was given, `position` and `start` how many bytes and samples of
    the audio."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._more = asyncio.Event()
        self._stopped = False
        self.told = self.position = self.start = 0

    def wake(self) -> None:
        """There is more to see."""
        self._more.set()

    def stop(self) -> None:
        """It is to see no more than there is by now."""
        self._stopped = True
        self.wake()

    @property
    def left(self) -> Sequence[Piece | Word]:
        """What it was not given, since the bytes were gone."""
        return self._recording.told[self.told :]

    async def all(self) -> AsyncGenerator[Chunk | Said, None]:
        """All of it from the beginning, as it comes, until nothing more does, or its bytes are gone. Raises Unavailable when the disk fails."""
        recording, block, block_start = self._recording, b"", 0
        while True:
            self._more.clear()
            while self.told < len(recording.told):
                one = recording.told[self.told]
                if isinstance(one, Word):
                    self.told += 1
                    yield Said(one, recording.sample_rate)
                    continue
                end = self.position + one.data_bytes
                if end > block_start + len(block):
                    if recording.closed:
                        return
                    with recording.held():
                        block = await recording.spool.read(self.position, max(one.data_bytes, _READ_BYTES))
                    block_start = self.position
                data = block[self.position - block_start : end - block_start]
                chunk = Chunk(data, self.start, one.samples, recording.sample_rate)
                self.told, self.position, self.start = self.told + 1, end, self.start + one.samples
                yield chunk
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
