"""Counts in the memory of the one process that serves."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from services.capabilities.limits.model import WINDOW_SECONDS, Count

MAXIMUM_CALLERS = 100_000
_PRUNE_BATCH = 1000

_Key = tuple[str, str]


class _Window:
    __slots__ = ("ends_at", "used")

    def __init__(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self.used = 0


class MemoryCounters:
    """Keeps the promises of Counters where no other process counts.

    Of `most` callers at once; past that, the windows that have ended go first, and then the callers that were not seen for longest. Not
    for other threads.
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
        # In the order of their beginnings, and so, as all are of one length, of their ends.
        self._windows: OrderedDict[_Key, _Window] = OrderedDict()
        # The least recently seen first.
        self._seen: OrderedDict[_Key, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    async def take(self, name: str, caller: str, limit: int) -> Count:
        """See `Counters`; does not suspend, and never fails."""
        key, now = (name, caller), self._clock()
        window = self._windows.get(key)
        if window is None or now >= window.ends_at:
            window = self._begin(key, now)
        else:
            self._seen.move_to_end(key)
        reset_after = window.ends_at - now
        if window.used >= limit:
            return Count(False, 0, reset_after)
        window.used += 1
        return Count(True, limit - window.used, reset_after)

    async def prune(self) -> int:
        """See `Counters`."""
        now, count = self._clock(), 0
        while count < _PRUNE_BATCH and self._forget_ended(now):
            count += 1
        return count

    def _begin(self, key: _Key, now: float) -> _Window:
        self._windows.pop(key, None)
        if len(self._windows) >= self._most and not self._forget_ended(now):
            longest_unseen, _ = self._seen.popitem(last=False)
            del self._windows[longest_unseen]
        window = self._windows[key] = _Window(now + self._seconds)
        self._seen[key] = None
        self._seen.move_to_end(key)
        return window

    def _forget_ended(self, now: float) -> bool:
        if not self._windows:
            return False
        key, window = next(iter(self._windows.items()))
        if now < window.ends_at:
            return False
        del self._windows[key], self._seen[key]
        return True
