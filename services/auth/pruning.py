"""Forgets, once an hour or so, what nobody can ask for any more."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

_SECONDS = 3600.0
# Also a process that is never up for an hour prunes.
_FIRST_SECONDS = 60.0
_log = logging.getLogger(__name__)

Prune = Callable[[], Awaitable[int]]
"""Forgets a batch and tells how many that were; 0 when nothing is left. Safe in every replica at once."""


@asynccontextmanager
async def pruned(*prunes: Prune) -> AsyncIterator[None]:
    """Prune now and then while the block runs."""
    task = asyncio.create_task(_prune(prunes), name="auth pruning")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _prune(prunes: Sequence[Prune]) -> None:
    seconds = _FIRST_SECONDS
    while True:
        # Replicas that were started together need not do it together.
        await asyncio.sleep(seconds * random.uniform(0.75, 1.25))  # noqa: S311 - it only spreads the work.
        seconds = _SECONDS
        for prune in prunes:
            try:
                while await prune():
                    pass
            except Exception:
                # Nobody waits for this, and the next round may fare better.
                _log.warning("What Auth no longer needs could not be pruned now", exc_info=True)
