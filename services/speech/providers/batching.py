"""Samples of several parts into batches of one file. For worker processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from services.speech.model import Batch, Ending, Format, Piece, Word
from services.speech.providers.audio.encoders import encoder
from services.speech.providers.audio.joining import Joiner

_MOST_PIECES = 32
_MOST_BYTES = 256 * 1024
_SLICE_SECONDS = 0.25


class Batching:
    """The file of one conversion while it is made, of 16-bit mono samples at `rate`. All methods give the batches that are ready.

    The first batch has one piece and is there at once; the following have ever more, so that hours of audio are not a flood of messages.
    """

    def __init__(self, format_: Format, rate: int) -> None:
        self._rate = rate
        self._joiner = Joiner(rate)
        self._encoder = encoder(format_, rate)
        self._slice = 2 * max(1, round(rate * _SLICE_SECONDS))
        self._data = bytearray()
        self._pieces: list[Piece] = []
        self._words: deque[Word] = deque()
        self._target = 1
        self._taken = 0
        self._samples = 0
        self._characters = 0
        self._told = 0

    def word(self, text: str, offset: int, start: int, end: int) -> None:
        """A word of the part that comes next is spoken from one of its samples to another."""
        start, end = (self._in_file(self._taken + sample) for sample in (start, end))
        self._words.append(Word(text, offset, start, end))

    def part(self, pcm: bytes, pause: float, characters: int) -> Iterator[Batch]:
        """The next part, and seconds of silence behind it; with it, so many more characters are spoken."""
        for place in range(0, len(pcm), self._slice):
            yield from self._encoded(self._joiner.add(pcm[place : place + self._slice]))
        last = self._joiner.pause(pause)
        for place in range(0, len(last), self._slice):
            yield from self._encoded(last[place : place + self._slice])
        self._taken += len(pcm) // 2 + round(pause * self._rate)
        self._characters += characters

    def flush(self) -> Iterator[Batch]:
        """What is there already, for what follows is not near."""
        if self._pieces or self._told != self._characters:
            yield self._batch()

    def finish(self) -> Iterator[Batch | Ending]:
        """The rest, and the ending."""
        pieces, patches = self._encoder.finish()
        yield from self._batched(pieces)
        if self._pieces or self._words or self._told != self._characters:
            yield self._batch(last=True)
        yield Ending(self._encoder.sample_rate, self._samples, patches)

    def _encoded(self, pcm: bytes) -> Iterator[Batch]:
        return self._batched(self._encoder.encode(pcm))

    def _batched(self, pieces: list[tuple[bytes, int]]) -> Iterator[Batch]:
        for data, samples in pieces:
            self._data += data
            self._pieces.append(Piece(len(data), samples))
            self._samples += samples
            if len(self._pieces) >= self._target or len(self._data) >= _MOST_BYTES:
                yield self._batch()
                self._target = min(2 * self._target, _MOST_PIECES)

    def _batch(self, *, last: bool = False) -> Batch:
        """With the words that begin in it, and those of the file that are left if it is the last."""
        words: list[Word] = []
        while self._words and (last or self._words[0].start < self._samples):
            words.append(self._words.popleft())
        batch = Batch(self._encoder.sample_rate, bytes(self._data), self._pieces, words, self._characters)
        self._data, self._pieces = bytearray(), []
        self._told = self._characters
        return batch

    def _in_file(self, sample: int) -> int:
        return sample * self._encoder.sample_rate // self._rate + self._encoder.delay
