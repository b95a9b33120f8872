"""Several things done at once, and all of them ended."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence

_AT_ONCE = 8


async def together(works: Sequence[Coroutine[None, None, None]]) -> None:
    """Do all of these, a few at once. The first failure is raised, and ends the others."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(work: Coroutine[None, None, None]) -> None:
        async with turns:
            await work

    tasks = [asyncio.create_task(one(work)) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Those that had no turn were not begun.
        for work in works:
            work.close()
