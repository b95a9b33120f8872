"""Numbers over time as a line of small bars."""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.:-=+*#"


def sparkline(values: Sequence[int], width: int, bars: str = BLOCKS) -> str:
    """A bar for each value, none of them negative; for several values together where there are more than `width`. The lowest bar is for nothing
    alone, the highest for the most."""
    together = max(1, -(-len(values) // max(1, width)))
    sums = [sum(values[begin : begin + together]) for begin in range(0, len(values), together)]
    most = max(sums, default=0) or 1
    # Rounded upwards, so that little is told apart from nothing.
    return "".join(bars[-(-each * (len(bars) - 1) // most)] for each in sums)
