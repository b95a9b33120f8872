"""Tasks that run as long as a service does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager


@asynccontextmanager
async def running(**works: Coroutine[None, None, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run these, under these names, while the block runs; what has not ended by then is cancelled and awaited."""
    tasks = [asyncio.create_task(work, name=name) for name, work in works.items()]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class TasksCheck:
    """A service needs its tasks."""

    name = "tasks"

    def __init__(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        self._tasks = tasks

    async def check(self) -> str | None:
        """See `services.kernel.health.HealthCheck`."""
        ended = [task.get_name() for task in self._tasks if task.done()]
        return f"{', '.join(ended)} ended; restart the server" if ended else None
