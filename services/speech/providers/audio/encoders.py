"""Samples into a file of a format, piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from services.speech.model import Format, Patch
from services.speech.providers.audio.pieces import Pieces, Unit

if TYPE_CHECKING:
    from services.speech.providers.audio.resampling import Resampler

_LEAST_SECONDS = 0.02


class Coding(Protocol):
    """How samples become a file of one format."""

    @property
    def sample_rate(self) -> int:
        """Of the samples that it takes, and of the file as it is decoded, in Hz."""
        ...

    @property
    def delay(self) -> int:
        """By how many samples the decoded file is behind what went in."""
        ...

    def encode(self, pcm: bytes) -> list[Unit]:
        """More samples; the units of the file that they complete. None is longer than 160 ms."""
        ...

    def finish(self) -> tuple[list[Unit], list[Patch]]:
        """The last units, and what the file has in the place of bytes that were given before."""
        ...


class Encoder:
    """Makes one file of 16-bit little-endian mono samples at a rate.

    `sample_rate` is that of the file, which differs from what goes in where the format has no such rate: times of words are scaled
    by it. `delay` is by how many samples of the file its sound is behind what goes in: times of words are shifted by it.
    """

    def __init__(self, coding: Coding, resampler: Resampler | None) -> None:
        self.sample_rate = coding.sample_rate
        self.delay = coding.delay
        self._coding = coding
        self._resampler = resampler
        self._pieces = Pieces(coding.sample_rate)
        self._empty = True

    def encode(self, pcm: bytes) -> list[tuple[bytes, int]]:
        """More samples. Whole pieces of the file that are ready: their bytes, and as how many samples they are decoded. Raises JobRefused
        (`duration`) for more than the format can hold."""
        self._empty = self._empty and not pcm
        samples = pcm if self._resampler is None else self._resampler.add(pcm)
        return self._pieces.add(self._coding.encode(samples)) if samples else []

    def finish(self) -> tuple[list[tuple[bytes, int]], list[Patch]]:
        """The rest of the pieces, and what the file has in the place of what was sent. Where nothing went in it holds 20 ms of silence, for
        there are players that take a file without any sound for a broken one."""
        units: list[Unit] = []
        if self._empty:
            units += self._coding.encode(bytes(2 * round(_LEAST_SECONDS * self.sample_rate)))
        elif self._resampler is not None:
            units += self._coding.encode(self._resampler.finish())
        last, patches = self._coding.finish()
        return self._pieces.finish(units + last), patches


def encoder(format_: Format, sample_rate: int) -> Encoder:
    """One for samples at `sample_rate` Hz, from 8,000 to 48,000."""
    coding = _coding(format_, sample_rate)
    if coding.sample_rate == sample_rate:
        return Encoder(coding, None)
    from services.speech.providers.audio.resampling import Resampler

    return Encoder(coding, Resampler(sample_rate, coding.sample_rate))


def _coding(format_: Format, sample_rate: int) -> Coding:
    # Each brings its library along, which takes a new process longer than the first words of a sentence do.
    match format_:
        case Format.WAV:
            from services.speech.providers.audio.wav import WavCoding

            return WavCoding(sample_rate)
        case Format.MP3:
            from services.speech.providers.audio.mp3 import Mp3Coding

            return Mp3Coding(sample_rate)
        case Format.FLAC:
            from services.speech.providers.audio.flac import FlacCoding

            return FlacCoding(sample_rate)
        case Format.OGG_OPUS:
            from services.speech.providers.audio.opus import OpusCoding

            return OpusCoding(sample_rate)
