"""Turns at providers: so many calls of each are under way at once, and the others wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class NoTurn(Exception):
    """The turn has not come in time."""


class Turns:
    """The turns of one process, `at_once` at each provider; one that is slow keeps nobody from the others."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._providers: dict[str, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def turn(self, provider_name: str, seconds: float) -> AsyncIterator[None]:
        """A turn at this provider, while the block runs. Raises NoTurn when it has not come within so many seconds."""
        turns = self._providers.setdefault(provider_name, asyncio.Semaphore(self._at_once))
        try:
            async with asyncio.timeout(seconds):
                await turns.acquire()
        except TimeoutError:
            raise NoTurn from None
        try:
            yield
        finally:
            turns.release()
