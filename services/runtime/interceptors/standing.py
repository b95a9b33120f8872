"""Ends a stream whose caller may no longer make it: what was asked when the call came is asked again while it lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.kernel.errors import Unavailable

RECHECK_SECONDS = 1.0

Check = Callable[[], Awaitable[None]]
"""Returns while the caller may go on. Raises Unavailable when that can't be told now, and any other failure when the caller may not."""

_Result = TypeVar("_Result")


async def while_standing(check: Check, serving: Awaitable[_Result], seconds: float) -> _Result:
    """The result of `serving`, while the check holds, every so many seconds. Raises the failure of the check that did not.

    It is ended as `asyncio.timeout` ends what is late: by a cancellation that is taken back. One that comes from elsewhere stays one.
    """
    task = asyncio.current_task()
    assert task is not None
    cancelling, lost = task.cancelling(), False

    async def watch() -> None:
        nonlocal lost
        while True:
            await asyncio.sleep(seconds)
            try:
                await check()
            except Unavailable:
                # A moment without Auth ends nobody's stream; a call that begins is another matter.
                continue
            except Exception:
                lost = True
                task.cancel()
                raise

    watching = asyncio.create_task(watch())
    try:
        return await serving
    finally:
        if lost and task.uncancel() <= cancelling:
            watching.result()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
