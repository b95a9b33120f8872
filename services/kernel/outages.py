"""Something that is away: how long to wait before it is tried again, and when that is told."""

from __future__ import annotations

import random
from collections.abc import Callable

_TELL_AT = 2


class Outage:
    """Tells once that something is away, when a second attempt has failed, too, and once that it is back."""

    def __init__(
        self,
        away: Callable[[str], None],
        back: Callable[[], None],
        *,
        first: float = 0.25,
        longest: float = 5.0,
        jitter: float = 0.0,
    ) -> None:
        """`away` is told the error. Pauses double from `first` to `longest` seconds; up to the part `jitter` of each is left out by chance, so
        that many that wait do not come back at once."""
        self._away = away
        self._back = back
        self._first = first
        self._longest = longest
        self._jitter = jitter
        self._attempts = 0
        self._pause = 0.0

    def pause(self, error: str) -> float:
        """How long to wait before the next attempt, in seconds."""
        self._attempts += 1
        if self._attempts == _TELL_AT:
            self._away(error)
        self._pause = min(max(self._pause * 2, self._first), self._longest)
        return self._pause * (1 - self._jitter * random.random())  # noqa: S311 - it spreads attempts, and keeps no secret.

    def over(self) -> None:
        """It worked."""
        if self._attempts >= _TELL_AT:
            self._back()
        self._attempts, self._pause = 0, 0.0
