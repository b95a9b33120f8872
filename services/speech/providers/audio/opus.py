"""Samples as Opus in Ogg (RFC 6716, 7845, 3533)."""

from __future__ import annotations

import struct

import soundfile

from services.speech.model import Patch
from services.speech.providers.audio.pieces import Unit
from services.speech.providers.audio.sndfile import Caught, set_page_latency

_RATES = (8000, 12000, 16000, 24000, 48000)
# Positions in Ogg count at this rate, whatever the samples have.
_GRANULE_RATE = 48000
_PAGE_MILLISECONDS = 160.0
# Which libsndfile takes for about 62 kbit/s: below 55 libopus looks for what suits speech, and takes twice as long.
_LEVEL = 0.78
_PAGE_HEADER_BYTES = 27
_HEAD = b"OpusHead"
_PRE_SKIP_AT = 10


class OpusCoding:
    """Mono. Nothing is patched, and the file has exactly the samples that went in."""

    delay = 0

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = next((rate for rate in _RATES if rate >= sample_rate), _RATES[-1])
        self._caught = Caught()
        self._file = soundfile.SoundFile(
            self._caught, "w", self.sample_rate, 1, "OPUS", format="OGG", compression_level=_LEVEL
        )
        set_page_latency(self._file, _PAGE_MILLISECONDS)
        self._pending = bytearray()
        self._pre_skip = 0
        self._samples = 0

    def encode(self, pcm: bytes) -> list[Unit]:
        """See `encoders.Coding`."""
        self._file.buffer_write(pcm, "int16")
        return self._pages()

    def finish(self) -> tuple[list[Unit], list[Patch]]:
        """See `encoders.Coding`."""
        self._file.close()
        return self._pages(), self._caught.patches

    def _pages(self) -> list[Unit]:
        """The whole pages that are there."""
        self._pending += b"".join(self._caught.taken())
        units: list[Unit] = []
        while size := _page_bytes(self._pending):
            page = bytes(memoryview(self._pending)[:size])
            del self._pending[:size]
            units.append((page, self._samples_of(page)))
        return units

    def _samples_of(self, page: bytes) -> int:
        """A page tells at which sample its last packet ends. The first samples of all are the decoder's to throw away."""
        body = page[_PAGE_HEADER_BYTES + page[26] :]
        if body.startswith(_HEAD):
            (self._pre_skip,) = struct.unpack_from("<H", body, _PRE_SKIP_AT)
        (granule,) = struct.unpack_from("<q", page, 6)
        until = max(0, granule - self._pre_skip) * self.sample_rate // _GRANULE_RATE
        before, self._samples = self._samples, max(self._samples, until)
        return self._samples - before


def _page_bytes(data: bytearray) -> int:
    """How long the first page is; 0 when it is not there as a whole."""
    if len(data) < _PAGE_HEADER_BYTES or len(data) < (header := _PAGE_HEADER_BYTES + data[26]):
        return 0
    size = header + sum(data[_PAGE_HEADER_BYTES:header])
    return size if len(data) >= size else 0
