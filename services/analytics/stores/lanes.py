"""Adds up histograms as PostgreSQL sends them, without taking them apart: as one long number each."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from services.analytics.model.histogram import Histogram, added

# How `array_send` writes a bigint[]: dimensions, flags, type, length and lower bound, then each element as its size and its value. The first
# element here is the first bucket, the others are the counts from that one on.
_HEADER_BYTES = 20
_LANE = struct.Struct("!Iq")
_LANE_BITS = 8 * _LANE.size


class HistogramSum:
    """The sum of some histograms. What was sent is added up in a number whose lanes of 96 bits are the counts: a count stays below 2⁶³, and so
    in its lane; the sizes above the counts are added up, too, and not looked at."""

    def __init__(self) -> None:
        self._lanes = 0
        self._last = 0
        self._counts: dict[int, int] = {}

    def add_counts(self, counts: Iterable[tuple[int, int]]) -> None:
        """Add counts by their buckets; once."""
        self._counts = dict(counts)

    def add_sent(self, sent: Iterable[bytes]) -> None:
        """Add histograms of the system's tables, as `array_send` writes them."""
        begin, size = _HEADER_BYTES + _LANE.size, _LANE.size
        for one in sent:
            _, first = _LANE.unpack_from(one, _HEADER_BYTES)
            last = first + (len(one) - begin) // size - 1
            if last > self._last:
                self._lanes <<= (last - self._last) * _LANE_BITS
                self._last = last
            self._lanes += int.from_bytes(one[begin:]) << (self._last - last) * _LANE_BITS

    def counts(self) -> Histogram:
        """The sum, without empty buckets."""
        length = -(-self._lanes.bit_length() // _LANE_BITS)
        lanes = struct.unpack("!" + "4xq" * length, self._lanes.to_bytes(length * _LANE.size))
        first = self._last - length + 1
        sent = {bucket: count for bucket, count in enumerate(lanes, first) if count}
        return added((self._counts, sent)) if self._counts and sent else self._counts or sent
