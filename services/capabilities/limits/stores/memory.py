"""Counts in the memory of the one process that serves."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from services.capabilities.limits.model import WINDOW_SECONDS, Count

MAXIMUM_CALLERS = 100_000
_PRUNE_BATCH = 1000


class _Window:
    __slots__ = ("ends_at", "used")

    def __init__(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self.used = 0


class MemoryCounters:
    """Keeps the promises of Counters where no other process counts.

    Of `most` callers of each class at once; past that, the class's windows that have ended go first, and then its callers that were not
    seen for longest. Not for other threads.
    """

    def __init__(
        self,
        *,
        window: float = WINDOW_SECONDS,
        most: int = MAXIMUM_CALLERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = window
        self._most = most
        self._clock = clock
        # Who fills one class pushes nobody out of another.
        self._classes: dict[str, _Class] = {}

    def __len__(self) -> int:
        return sum(len(counted.windows) for counted in self._classes.values())

    async def take(self, name: str, caller: str, limit: int) -> Count:
        """See `Counters`; does not suspend, and never fails."""
        counted, now = self._classes.get(name), self._clock()
        if counted is None:
            counted = self._classes[name] = _Class(self._most)
        window = counted.windows.get(caller)
        if window is None or now >= window.ends_at:
            window = counted.begin(caller, now, now + self._seconds)
        else:
            counted.seen.move_to_end(caller)
        reset_after = window.ends_at - now
        if window.used >= limit:
            return Count(False, 0, reset_after)
        window.used += 1
        return Count(True, limit - window.used, reset_after)

    async def prune(self) -> int:
        """See `Counters`."""
        now, count = self._clock(), 0
        for counted in self._classes.values():
            while count < _PRUNE_BATCH and counted.forget_ended(now):
                count += 1
        return count


class _Class:
    """The windows of one class."""

    def __init__(self, most: int) -> None:
        self._most = most
        # In the order of their beginnings, and so, as all are of one length, of their ends.
        self.windows: OrderedDict[str, _Window] = OrderedDict()
        # The least recently seen first.
        self.seen: OrderedDict[str, None] = OrderedDict()

    def begin(self, caller: str, now: float, ends_at: float) -> _Window:
        """A new window of this caller."""
        self.windows.pop(caller, None)
        if len(self.windows) >= self._most and not self.forget_ended(now):
            longest_unseen, _ = self.seen.popitem(last=False)
            del self.windows[longest_unseen]
        window = self.windows[caller] = _Window(ends_at)
        self.seen[caller] = None
        self.seen.move_to_end(caller)
        return window

    def forget_ended(self, now: float) -> bool:
        """Forget the window that ends first, if it has; tells so."""
        if not self.windows:
            return False
        caller, window = next(iter(self.windows.items()))
        if now < window.ends_at:
            return False
        del self.windows[caller], self.seen[caller]
        return True
