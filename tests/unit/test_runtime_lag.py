"""The lag of an event loop, as it is told."""

import asyncio
import time

from services.runtime.lag import LoopLag


def hold(seconds: float) -> None:
    """Keep the loop from everything else."""
    time.sleep(seconds)


async def test_the_longest_time_that_the_loop_was_held_is_told_once() -> None:
    lag = LoopLag()
    task = asyncio.create_task(lag.watch())
    try:
        for seconds in (0.0, 0.2, 0.0):
            await asyncio.sleep(0.03)
            hold(seconds)
        await asyncio.sleep(0.03)
        assert lag.take() > 0.15
        await asyncio.sleep(0.03)
        assert lag.take() < 0.15
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_loop_that_is_held_right_now_is_late_already() -> None:
    lag = LoopLag()
    task = asyncio.create_task(lag.watch())
    try:
        await asyncio.sleep(0.03)
        hold(0.1)
        assert lag.take() > 0.05
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert lag.take() < 0.05


def test_a_loop_that_nobody_watches_is_not_late() -> None:
    assert LoopLag().take() == 0.0
