"""A bound for calls that go out at once, and for those that wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.capabilities.blobs.errors import StoreBusy


class Turns:
    """At most `at_once` blocks run, and `waiting` wait for their turn. Belongs to the event loop that it is used in."""

    def __init__(self, *, at_once: int, waiting: int) -> None:
        self._running = asyncio.Semaphore(at_once)
        self._free = at_once + waiting

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it while the block runs. Raises StoreBusy when too many wait."""
        if self._free == 0:
            raise StoreBusy("Too many calls wait for the object store; try again.")
        self._free -= 1
        try:
            async with self._running:
                yield
        finally:
            self._free += 1
