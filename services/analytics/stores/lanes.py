"""Adds up histograms as PostgreSQL sends them, without taking them apart: as one long number each."""

from __future__ import annotations

import struct

from services.analytics.model.histogram import Histogram

# How `array_send` writes a bigint[]: dimensions, flags, type, length and lower bound, then each element as its size and its value. The first
# element here is the first bucket, the others are the counts from that one on.
_HEADER_BYTES = 20
_LANE = struct.Struct("!Iq")
_LANE_BITS = 8 * _LANE.size


class HistogramSum:
    """The sum of some histograms: a number whose lanes of 96 bits are the counts. A count stays below 2⁶³, and so in its lane; the sizes
    above the counts are added up, too, and not looked at."""

    def __init__(self) -> None:
        self._lanes = 0
        self._last = 0

    def add(self, sent: bytes) -> None:
        """Add a histogram of the system's tables, as `array_send` writes it."""
        counts = _HEADER_BYTES + _LANE.size
        _, first = _LANE.unpack_from(sent, _HEADER_BYTES)
        last = first + (len(sent) - counts) // _LANE.size - 1
        lanes = int.from_bytes(sent[counts:])
        if last > self._last:
            self._lanes <<= (last - self._last) * _LANE_BITS
            self._last = last
        self._lanes += lanes << (self._last - last) * _LANE_BITS

    def counts(self) -> Histogram:
        """The sum, without empty buckets."""
        length = -(-self._lanes.bit_length() // _LANE_BITS)
        told = _LANE.iter_unpack(self._lanes.to_bytes(length * _LANE.size))
        first = self._last - length + 1
        return {bucket: count for bucket, (_, count) in enumerate(told, first) if count}
