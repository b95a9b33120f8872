"""Durations as counts in logarithmic buckets, which add up: percentiles of any sum of histograms are within 2 % of the exact ones.

After Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error guarantees" (VLDB 2019), with a
fixed set of buckets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

_ERROR = 0.015
_GAMMA = (1 + _ERROR) / (1 - _ERROR)
_LOG_GAMMA = math.log(_GAMMA)
# Below, whole microseconds are too coarse for a middle that is near enough.
_EXACT = 50
_LONGEST = 32 * 86_400_000_000

Histogram = Mapping[int, int]
"""How many durations are in each bucket."""


def bucket_of(microseconds: int) -> int:
    """The bucket of a duration: bucket n has those of n microseconds up to 50, and beyond those from γⁿ⁻¹ (not included) to γⁿ."""
    if microseconds <= _EXACT:
        return max(microseconds, 0)
    return math.ceil(math.log(microseconds) / _LOG_GAMMA)


def midpoint(bucket: int) -> int:
    """Microseconds that are within 1.5 % of each duration in the bucket, and a rounding; exactly those of it up to 50."""
    if bucket <= _EXACT:
        return bucket
    return min(round(2 * _GAMMA**bucket / (_GAMMA + 1)), _LONGEST)


def added(histograms: Iterable[Histogram]) -> dict[int, int]:
    """All of them together."""
    total: dict[int, int] = {}
    for histogram in histograms:
        for bucket, count in histogram.items():
            total[bucket] = total.get(bucket, 0) + count
    return total


def quantiles(histogram: Histogram, wanted: Iterable[float]) -> list[int]:
    """Quantiles in microseconds, by nearest rank; `wanted` ascend and are between 0 and 1. The histogram is not empty."""
    total = sum(histogram.values())
    buckets = iter(sorted(histogram.items()))
    bucket, reached = next(buckets)
    found = []
    for quantile in wanted:
        rank = max(1, math.ceil(quantile * total))
        while reached < rank:
            bucket, count = next(buckets)
            reached += count
        found.append(midpoint(bucket))
    return found
