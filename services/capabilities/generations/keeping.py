"""The last step of a generation: what was made is kept, or it is known that it is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from services.capabilities.generations.errors import IndexLost, Superseded
from services.kernel.errors import Unavailable

_SECONDS = 20.0
_PAUSE_SECONDS = 0.2


async def kept(complete: Callable[[], Awaitable[bool]]) -> None:
    """Have the store complete a generation. One that did not answer may have done so all the same: it is asked until it says so.

    Raises Superseded when the generation does not run any more, and IndexLost.
    """
    ends = time.monotonic() + _SECONDS
    while True:
        try:
            if await complete():
                return
            raise Superseded
        except Unavailable as error:
            if time.monotonic() > ends:
                raise IndexLost(error.message) from None
        await asyncio.sleep(_PAUSE_SECONDS)
