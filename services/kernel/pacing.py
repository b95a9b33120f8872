"""Answers in pieces, for readers who may stop reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

from services.kernel.errors import DeadlineExceeded

T = TypeVar("T")


async def paced(pieces: AsyncGenerator[T], stage: str, *, each: float, whole: float) -> AsyncGenerator[T]:
    """The same pieces, as long as each is taken within `each` seconds, and all of them are within `whole`. Raises DeadlineExceeded at
    `stage`.

    The task that asks for the first piece has to be the one that takes them all and closes this. Whoever is late is called off in whatever
    it does with a piece, as by `asyncio.timeout`, and learns why when it closes this.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + whole
    patience = asyncio.timeout_at(end)
    try:
        async with patience, aclosing(pieces):
            async for piece in pieces:
                patience.reschedule(min(end, loop.time() + each))
                yield piece
                patience.reschedule(end)
    except (TimeoutError, GeneratorExit):
        if patience.expired():
            raise DeadlineExceeded(
                "the answer was read too slowly; call again", metadata={"stage": stage}
            ) from None
        raise
