"""Samples as a WAV file: RIFF with one `fmt ` and one `data` chunk (Multimedia Programming Interface and Data Specifications 1.0)."""

from __future__ import annotations

import struct

from services.infra.workers.errors import JobRefused
from services.speech.model import Patch
from services.speech.providers.audio.pieces import Unit

_UNIT_SECONDS = 0.16
_PCM = 1
_RIFF_SIZE = 4
_DATA_SIZE = 40
_HEADER_BYTES = 44
# What a writer puts where it can't know the length yet.
_UNKNOWN = 0xFFFFFFFF
_MOST_BYTES = _UNKNOWN - _HEADER_BYTES


class WavCoding:
    """16 bits, mono. The sizes in the header are patched."""

    delay = 0

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._unit_bytes = 2 * int(_UNIT_SECONDS * sample_rate)
        self._pending = bytearray()
        self._data_bytes = 0
        self._begun = False

    def encode(self, pcm: bytes) -> list[Unit]:
        """See `encoders.Coding`. Raises JobRefused (`duration`) for more than 4 GiB."""
        self._data_bytes += len(pcm)
        if self._data_bytes > _MOST_BYTES:
            raise JobRefused("duration", "the audio is longer than a WAV file can be")
        self._pending += pcm
        units = [] if self._begun else [(self._header(), 0)]
        self._begun = True
        while len(self._pending) >= self._unit_bytes:
            units.append(self._taken(self._unit_bytes))
        return units

    def finish(self) -> tuple[list[Unit], list[Patch]]:
        """See `encoders.Coding`."""
        riff = struct.pack("<I", _HEADER_BYTES - 8 + self._data_bytes)
        data = struct.pack("<I", self._data_bytes)
        return [self._taken(len(self._pending))], [Patch(_RIFF_SIZE, riff), Patch(_DATA_SIZE, data)]

    def _header(self) -> bytes:
        format_ = struct.pack("<HHIIHH", _PCM, 1, self.sample_rate, 2 * self.sample_rate, 2, 16)
        riff = struct.pack("<4sI4s", b"RIFF", _UNKNOWN, b"WAVE")
        chunk = struct.pack("<4sI", b"fmt ", len(format_)) + format_
        return riff + chunk + struct.pack("<4sI", b"data", _UNKNOWN)

    def _taken(self, count: int) -> Unit:
        data = bytes(memoryview(self._pending)[:count])
        del self._pending[:count]
        return data, count // 2
