"""Samples as MP3: MPEG-1, -2 and -2.5 audio layer III, frames of 64 kbit/s one behind the other (ISO/IEC 11172-3, 13818-3)."""

from __future__ import annotations

import lameenc

from services.speech.model import Patch
from services.speech.providers.audio.pieces import Unit

_KILOBITS = 64
# From 2, the best and slowest, to 7; this one is 600 times as fast as the speech on one core.
_QUALITY = 5
_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_FIRST_OF_MPEG_1 = 32000
# LAME's encoder is behind by 576 samples, and any decoder by 528 and one.
_DELAY = 1105
# An empty ID3v1 tag: there are decoders that lose the last frame when nothing comes behind it.
_TAG = b"TAG" + bytes(124) + b"\xff"


class Mp3Coding:
    """Mono at a constant bit rate. No frame tells the length or the delay, since the first is sent before these are known; so what is
    decoded is longer than what went in, by the delay and what fills the last frame."""

    delay = _DELAY

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = next((rate for rate in _RATES if rate >= sample_rate), _RATES[-1])
        self._frame_samples = 1152 if self.sample_rate >= _FIRST_OF_MPEG_1 else 576
        self._encoder = lameenc.Encoder()
        self._encoder.silence()
        self._encoder.set_bit_rate(_KILOBITS)
        self._encoder.set_in_sample_rate(self.sample_rate)
        self._encoder.set_channels(1)
        self._encoder.set_quality(_QUALITY)
        self._pending = bytearray()

    def encode(self, pcm: bytes) -> list[Unit]:
        """See `encoders.Coding`."""
        self._pending += self._encoder.encode(pcm)
        return self._frames()

    def finish(self) -> tuple[list[Unit], list[Patch]]:
        """See `encoders.Coding`."""
        self._pending += self._encoder.flush()
        return [*self._frames(), (_TAG, 0)], []

    def _frames(self) -> list[Unit]:
        """The whole frames that are there."""
        units: list[Unit] = []
        while len(self._pending) >= 4 and len(self._pending) >= (size := self._frame_bytes()):
            units.append((bytes(memoryview(self._pending)[:size]), self._frame_samples))
            del self._pending[:size]
        return units

    def _frame_bytes(self) -> int:
        """Of the first frame that is there: at this bit rate, and one more with the padding bit."""
        padding = self._pending[2] >> 1 & 1
        return self._frame_samples * _KILOBITS * 1000 // 8 // self.sample_rate + padding
