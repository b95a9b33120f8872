"""How long a provider may be silent between tokens."""

from __future__ import annotations

import asyncio


class Silence:
    """Lets a timeout expire once nothing has been heard for a while; from the first `listen` or `pause` on, the timeout's own end is void.

    The timer is set anew when it fires and not with each token, which would cost more than the token's reading.
    """

    def __init__(self, limit: asyncio.Timeout) -> None:
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._seconds = 0.0
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def listen(self, seconds: float) -> None:
        """From now on `seconds` of silence are too many."""
        self._void()
        self._since = self._loop.time()
        if self._timer is None or seconds < self._seconds:
            self.close()
            self._timer = self._loop.call_later(seconds, self._look)
        self._seconds = seconds

    def pause(self) -> None:
        """What follows is not the provider's time."""
        self._void()
        self._since = None

    def close(self) -> None:
        """Set no timer any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _void(self) -> None:
        if self._limit.when() is not None:
            self._limit.reschedule(None)

    def _look(self) -> None:
        now = self._loop.time()
        due = (now if self._since is None else self._since) + self._seconds
        if due <= now:
            self._timer = None
            self._limit.reschedule(now)
        else:
            self._timer = self._loop.call_at(due, self._look)
