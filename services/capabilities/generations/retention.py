"""What is not kept for ever: what anonymous callers had made, and what is left of old calls."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from services.kernel.errors import Unavailable

log = structlog.get_logger(__name__)

_PAUSE_SECONDS = 300.0
_STEP = 500
CLAIMS_KEPT = timedelta(days=7)
GENERATIONS_KEPT = timedelta(days=100)
"""Longer than Analytics keeps events, so that the two can be compared as long as it makes sense."""


class Perishable(Protocol):
    """A store that lets go of what is old. Both methods raise Unavailable."""

    async def expire(self, before: datetime, limit: int) -> int:
        """Delete some of what anonymous callers had made before this moment, and tell how much; 0 when nothing is left."""
        ...

    async def prune(self, generations_before: datetime, claims_older: timedelta, limit: int) -> int:
        """Forget some ended generations of before this moment whose result is gone, and some old claims; tell how many, 0 when there is nothing
        to do for now."""
        ...


async def keep_bounded(store: Perishable, soon: Callable[[], None], anonymous: timedelta, what: str) -> None:
    """Let go of what is old, every few minutes, until cancelled; `soon` is told when there are objects to remove. Safe in several processes at
    once. `what` is for the log."""
    while True:
        await asyncio.sleep(_PAUSE_SECONDS * random.uniform(0.5, 1.0))  # noqa: S311 - it only spreads the work.
        try:
            now = datetime.now(UTC)
            while await store.expire(now - anonymous, _STEP):
                soon()
            while await store.prune(now - GENERATIONS_KEPT, CLAIMS_KEPT, _STEP):
                pass
        except Unavailable as error:
            log.info("what is old can't be let go of now", what=what, error=error.message)
        except Exception:
            # The next round may fare better.
            log.exception("what is old can't be let go of", what=what)
