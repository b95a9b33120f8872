"""Samples as FLAC (RFC 9639)."""

from __future__ import annotations

import soundfile

from services.speech.model import Patch
from services.speech.providers.audio.pieces import Unit
from services.speech.providers.audio.sndfile import Caught

# From 0 to 1. Higher ones have frames of 4,096 samples, which are longer than a piece may be.
_LEVEL = 0.25
_FRAME_SAMPLES = 1152
_SYNCS = (b"\xff\xf8", b"\xff\xf9")


class FlacCoding:
    """16 bits, mono. What STREAMINFO says of length, frames and checksum is patched."""

    delay = 0

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._caught = Caught()
        self._file = soundfile.SoundFile(
            self._caught, "w", sample_rate, 1, "PCM_16", format="FLAC", compression_level=_LEVEL
        )
        self._left = 0

    def encode(self, pcm: bytes) -> list[Unit]:
        """See `encoders.Coding`."""
        self._file.buffer_write(pcm, "int16")
        self._left += len(pcm) // 2
        return self._units()

    def finish(self) -> tuple[list[Unit], list[Patch]]:
        """See `encoders.Coding`."""
        self._file.close()
        return self._units(), self._caught.patches

    def _units(self) -> list[Unit]:
        """libFLAC writes each frame in one go, and all have the same length but the last one."""
        units: list[Unit] = []
        for chunk in self._caught.taken():
            samples = min(_FRAME_SAMPLES, self._left) if chunk[:2] in _SYNCS else 0
            self._left -= samples
            units.append((chunk, samples))
        return units
