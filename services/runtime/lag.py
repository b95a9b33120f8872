"""How late the event loop gets round to what is due."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

# What holds the loop for less than this may not be seen, and of what holds it for longer so much may be missing. An idle process is woken
# as often.
INTERVAL = 0.02


class LoopLag:
    """Watches an event loop, and tells the longest time that it was late. Told from any thread, also while the loop is stuck."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._longest = 0.0
        self._due: float | None = None

    def take(self) -> float:
        """The longest lag in seconds since this was asked before, the one under way included."""
        now = self._clock()
        with self._lock:
            under_way = 0.0 if self._due is None else now - self._due
            longest, self._longest = max(self._longest, under_way), 0.0
        return longest

    async def forget(self) -> None:
        """Begin anew: what was seen so far, and what is under way, is nobody's concern."""
        await asyncio.sleep(2 * INTERVAL)
        self.take()

    async def watch(self) -> None:
        """Look, until cancelled."""
        try:
            while True:
                self._due = self._clock() + INTERVAL
                await asyncio.sleep(INTERVAL)
                late = self._clock() - self._due
                with self._lock:
                    self._longest = max(self._longest, late)
        finally:
            self._due = None
