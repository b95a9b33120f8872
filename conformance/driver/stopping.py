"""A round that is told to stop by a signal ends what it has started."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """A signal has ended it."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"stopped by {number.name}")
        self.signal = number


async def until_told_to_stop(doing: Coroutine[Any, Any, T]) -> T:
    """What it returns. The first SIGINT, SIGTERM or SIGHUP cancels it, and Stopped is raised when it has ended; later ones do nothing, so that
    nothing is left behind."""
    loop, task, told = asyncio.get_running_loop(), asyncio.ensure_future(doing), list[signal.Signals]()

    def stop(number: signal.Signals) -> None:
        told.append(number)
        if len(told) == 1:
            task.cancel()

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not told:
            raise
        raise Stopped(told[0]) from None
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
