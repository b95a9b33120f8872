"""Readiness, as far as it depends on the object store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from services.capabilities.blobs.watched import WatchedBlobs
from services.kernel.errors import Unavailable

_ANSWER_SECONDS = 3.0
_FRESH_SECONDS = 5.0


class BlobsCheck:
    """Whether the object store answers and takes what is written; a HealthCheck. Those that ask within a few seconds, or at once, are told
    the same."""

    name = "objects"

    def __init__(
        self,
        blobs: WatchedBlobs,
        *,
        fresh_seconds: float = _FRESH_SECONDS,
        answer_seconds: float = _ANSWER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._blobs = blobs
        self._fresh = fresh_seconds
        self._answer = answer_seconds
        self._clock = clock
        self._asked_at = float("-inf")
        self._wrong: str | None = None
        self._asking = asyncio.Lock()

    async def check(self) -> str | None:
        """See `services.kernel.health.HealthCheck`. The text stays the same while the state does."""
        async with self._asking:
            if self._clock() - self._asked_at >= self._fresh:
                self._wrong = await self._ask()
                self._asked_at = self._clock()
            return self._wrong or self._blobs.refusing

    async def _ask(self) -> str | None:
        try:
            async with asyncio.timeout(self._answer):
                await self._blobs.ping()
        except TimeoutError:
            return f"The object store does not answer within {self._answer:g} s."
        except Unavailable as error:
            return error.message
        return None
