"""Pieces of a file of audio, each long enough to be worth a message and short enough to be played at once."""

from __future__ import annotations

from collections.abc import Iterable

Unit = tuple[bytes, int]
"""Bytes of a file that belong together, such as a frame, and as how many samples they are decoded: none for a header."""

_LEAST = 0.02
_AIM = 0.16
_MOST = 0.18


class Pieces:
    """Makes pieces of 20 to 200 ms of the units of a file, each of which is at most 160 ms long. All pieces together are the file.

    One piece is held back, since a tail of less than 20 ms joins the one before it.
    """

    def __init__(self, sample_rate: int) -> None:
        self._least, self._aim, self._most = (seconds * sample_rate for seconds in (_LEAST, _AIM, _MOST))
        self._held: Unit | None = None
        self._data = bytearray()
        self._samples = 0

    def add(self, units: Iterable[Unit]) -> list[Unit]:
        """More of the file; the pieces that are ready."""
        ready: list[Unit] = []
        for data, samples in units:
            if self._samples >= self._least and self._samples + samples > self._most:
                ready += self._closed()
            self._data += data
            self._samples += samples
            if self._samples >= self._aim:
                ready += self._closed()
        return ready

    def finish(self, units: Iterable[Unit]) -> list[Unit]:
        """The last of the file; all pieces that are left."""
        ready = self.add(units)
        if self._held is not None and self._samples < self._least:
            data, samples = self._held
            return [*ready, (data + bytes(self._data), samples + self._samples)]
        ready += self._closed()
        return [*ready, self._held] if self._held is not None else ready

    def _closed(self) -> list[Unit]:
        """The piece is complete: it is held, and the one before it is not any more."""
        before = [] if self._held is None else [self._held]
        self._held = bytes(self._data), self._samples
        self._data.clear()
        self._samples = 0
        return before
