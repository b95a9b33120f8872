"""Samples at another rate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr


class Resampler:
    """From one rate to another, in Hz, as the samples come: 16-bit mono."""

    def __init__(self, source: int, target: int) -> None:
        self._stream = soxr.ResampleStream(source, target, 1, dtype="int16")

    def add(self, pcm: bytes) -> bytes:
        """More samples; those that are ready. The last ones are held until it is known what comes."""
        return self._through(np.frombuffer(pcm, np.int16), last=False)

    def finish(self) -> bytes:
        """The rest."""
        return self._through(np.empty(0, np.int16), last=True)

    def _through(self, samples: npt.NDArray[np.int16], *, last: bool) -> bytes:
        made: npt.NDArray[np.int16] = self._stream.resample_chunk(samples, last=last)
        return made.tobytes()
