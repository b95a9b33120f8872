"""Answers whose readers are slow: what is late ends, whatever it waits for, and nobody else is called off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from services.kernel.errors import DeadlineExceeded
from services.kernel.pacing import paced


class Source:
    """Pieces 0, 1, 2, each after a pause; `closed` when they are not read any more."""

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.closed = False

    async def pieces(self) -> AsyncGenerator[int]:
        try:
            for number in range(3):
                await asyncio.sleep(self.pause)
                yield number
        finally:
            self.closed = True


async def taken(source: Source, reading: float = 0.0, *, each: float = 60.0, whole: float = 60.0) -> int:
    """How many pieces a reader takes who needs so long for each."""
    count = 0
    async with aclosing(paced(source.pieces(), "download", each=each, whole=whole)) as pieces:
        async for _ in pieces:
            await asyncio.sleep(reading)
            count += 1
    return count


async def test_whoever_keeps_the_pace_is_given_all() -> None:
    assert await taken(Source(), 0.001) == 3


@pytest.mark.parametrize(
    ("source", "reading", "limits"),
    [
        (Source(), 60.0, {"each": 0.01}),
        (Source(), 60.0, {"whole": 0.01}),
        (Source(60.0), 0.0, {"whole": 0.01}),
    ],
    ids=["a piece is not taken", "the whole takes too long", "nothing comes"],
)
async def test_who_is_late_is_told_and_all_is_let_go(
    source: Source, reading: float, limits: dict[str, float]
) -> None:
    with pytest.raises(DeadlineExceeded) as told:
        await asyncio.wait_for(taken(source, reading, **limits), 5)
    assert told.value.metadata == {"stage": "download"}
    assert source.closed
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_the_time_for_a_piece_begins_when_it_is_there() -> None:
    assert await taken(Source(0.15), each=0.1) == 3


async def test_a_reader_who_is_cancelled_is_cancelled() -> None:
    source = Source()
    reader = asyncio.create_task(taken(source, 60.0))
    await asyncio.sleep(0.001)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert source.closed
