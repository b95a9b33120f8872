"""What is not kept for ever: images of anonymous callers, and what is left of old calls."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta

import structlog

from services.image.generation.filing import Filer
from services.image.ports import ImageStore
from services.kernel.errors import Unavailable

log = structlog.get_logger(__name__)

_PAUSE_SECONDS = 300.0
_STEP = 500
CLAIMS_KEPT = timedelta(days=7)
GENERATIONS_KEPT = timedelta(days=100)
"""Longer than Analytics keeps events, so that the two can be compared as long as it makes sense."""


async def keep_bounded(store: ImageStore, filer: Filer, anonymous: timedelta) -> None:
    """Let go of what is old, every few minutes, until cancelled. Safe in several processes at once."""
    while True:
        await asyncio.sleep(_PAUSE_SECONDS * random.uniform(0.5, 1.0))  # noqa: S311 - it only spreads the work.
        try:
            now = datetime.now(UTC)
            while await store.expire(now - anonymous, _STEP):
                filer.soon()
            while await store.prune(now - GENERATIONS_KEPT, CLAIMS_KEPT, _STEP):
                pass
        except Unavailable as error:
            log.info("old images can't be let go of now", error=error.message)
        except Exception:
            # The next round may fare better.
            log.exception("old images can't be let go of")
