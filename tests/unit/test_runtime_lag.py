"""The lag of an event loop, as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.runtime.lag import INTERVAL, LoopLag


class Watched:
    """A loop that is watched by a clock of the test's."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lag = LoopLag(lambda: self.now)

    async def passes(self, held: float) -> None:
        """The loop comes round once more, so much too late."""
        self.now += INTERVAL + held
        await asyncio.sleep(2 * INTERVAL)


@asynccontextmanager
async def watched() -> AsyncIterator[Watched]:
    loop = Watched()
    task = asyncio.create_task(loop.lag.watch())
    await asyncio.sleep(0)
    try:
        yield loop
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_longest_time_that_the_loop_was_held_is_told_once() -> None:
    async with watched() as loop:
        for held in (0.0, 0.2, 0.1):
            await loop.passes(held)
        assert loop.lag.take() == pytest.approx(0.2)
        await loop.passes(0.0)
        assert loop.lag.take() == pytest.approx(0.0)


async def test_a_loop_that_is_held_right_now_is_late_already() -> None:
    async with watched() as loop:
        loop.now += INTERVAL + 0.1
        assert loop.lag.take() == pytest.approx(0.1)
    assert loop.lag.take() == 0.0


async def test_what_was_before_is_forgotten() -> None:
    async with watched() as loop:
        await loop.passes(0.2)
        loop.now += 0.3
        await loop.lag.forget()
        assert loop.lag.take() == pytest.approx(0.0)
