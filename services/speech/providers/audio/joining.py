"""Parts of speech, one behind the other, without a click where they meet."""

from __future__ import annotations

from array import array
from itertools import pairwise

_RAMP_SECONDS = 0.005
_SAMPLE_BYTES = 2


class Joiner:
    """Joins parts of 16-bit mono samples at `rate` Hz.

    A part goes on as it is, but for an edge that is further from zero than the samples near it are from one another: that one is
    ramped within 5 ms. So the step where two parts meet, or a part and silence, is at most twice the largest inside of them. Each ramp adds
    to the steps on it no more than the part's peak divided by the ramp's samples, and one for rounding.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._ramp = max(1, round(_RAMP_SECONDS * rate))
        self._held = bytearray()
        self._begun = False

    def add(self, pcm: bytes) -> bytes:
        """More of the part at hand, or of a new one: whole samples, as many as there are. What can go on already comes back; the last 5 ms
        are held, since they may be the end."""
        self._held += pcm
        if not self._begun:
            # Both edges are judged by what the part itself says, so they must not meet before one of them has gone on.
            if len(self._held) < 2 * self._ramp * _SAMPLE_BYTES:
                return b""
            self._begun = True
            self._shape(begins=True, ends=False)
        return self._taken(len(self._held) - self._ramp * _SAMPLE_BYTES)

    def end(self) -> bytes:
        """The part is over: what was held of it. Without a part it is nothing."""
        self._shape(begins=not self._begun, ends=True)
        self._begun = False
        return self._taken(len(self._held))

    def pause(self, seconds: float) -> bytes:
        """The part is over, and silence is behind it."""
        return self.end() + bytes(round(seconds * self._rate) * _SAMPLE_BYTES)

    def _shape(self, *, begins: bool, ends: bool) -> None:
        """Ramp the edges of what is held, where they need it."""
        size = self._ramp * _SAMPLE_BYTES
        head, tail = array("h", bytes(self._held[:size])), array("h", bytes(self._held[-size:]))
        # One part may be so short that both are made of the same samples.
        raised, lowered = begins and _far(head, 0), ends and _far(tail, -1)
        if raised:
            self._held[:size] = self._ramped(head).tobytes()
        if lowered:
            tail = array("h", bytes(self._held[-size:]))
            tail.reverse()
            tail = self._ramped(tail)
            tail.reverse()
            self._held[-size:] = tail.tobytes()

    def _ramped(self, samples: array[int]) -> array[int]:
        return array("h", (int(sample * place / self._ramp) for place, sample in enumerate(samples)))

    def _taken(self, count: int) -> bytes:
        taken = bytes(memoryview(self._held)[:count])
        del self._held[:count]
        return taken


def _far(samples: array[int], edge: int) -> bool:
    """Whether this one is further from zero than any of them from the next."""
    return bool(samples) and abs(samples[edge]) > max((abs(b - a) for a, b in pairwise(samples)), default=0)
