"""Questions take turns, so that they leave connections to everybody else, however many are asked at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.analytics.errors import TooManyQuestions

_MOST_WAITING = 200


class Turns:
    """So many at a time; others wait in the order in which they came, up to a limit."""

    def __init__(self, at_once: int, most_waiting: int = _MOST_WAITING) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._most_waiting = most_waiting
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it while the block runs. Raises TooManyQuestions."""
        if self._waiting >= self._most_waiting:
            raise TooManyQuestions
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()
