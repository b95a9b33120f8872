"""What rate limits need: somebody who counts."""

from __future__ import annotations

from typing import Protocol

from services.capabilities.limits.model import Count


class Counters(Protocol):
    """Counts the calls of callers by class, in windows of one length that begin with a caller's first call."""

    async def take(self, name: str, caller: str, limit: int) -> Count:
        """Let a call of the class `name` in, and count it, unless `limit` of them (at least 1) were let in since the window began.

        However many ask at once, here and in every process that shares the counts, exactly `limit` are let in per window. A window that
        has ended is followed by one that begins with the next call. A call that is refused changes nothing. A class and caller come with
        the same limit; where that is changed while a window lasts, the window's end may be waited for.

        Raises Unavailable, soon, when it can't be told. After that, and after a cancellation, the call may have been counted or not.
        """
        ...

    async def prune(self) -> int:
        """Forget some windows that have ended, and tell how many; 0 when none is left. Safe to run in several processes at once.

        Raises Unavailable.
        """
        ...


class Tally(Protocol):
    """Hears of calls that were not simply let in, for the metrics."""

    def refused(self, name: str) -> None:
        """A call of this class was past its limit."""
        ...

    def uncounted(self, name: str, *, passed: bool) -> None:
        """A call of this class could not be counted, and passed or did not."""
        ...
