"""Watching ends before the caller's deadline does, whatever the watcher is doing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from services.chat.model import Event, Started, TextDelta
from services.chat.usecases.deadlines import before_deadline, time_to_make
from services.kernel.errors import DeadlineExceeded

STARTED = Event(1, 1, datetime.now(UTC), Started("g", "", "m", "echo"))
WORD = Event(2, 2, datetime.now(UTC), TextDelta("one"))


class Source:
    """Events, then silence unless it `ends`."""

    def __init__(self, *events: Event, ends: bool = False) -> None:
        self._events = events
        self._ends = ends
        self.closed = False

    async def __call__(self) -> AsyncIterator[Event]:
        try:
            for event in self._events:
                yield event
            if not self._ends:
                await asyncio.Event().wait()
        finally:
            self.closed = True


async def _read(remaining: float, source: Source) -> list[Event]:
    async with aclosing(before_deadline(remaining, "g", source())) as events:  # type: ignore[type-var]
        return [event async for event in events]


@asynccontextmanager
async def _punctual() -> AsyncIterator[Callable[[], float]]:
    """How many seconds the block took, without the longest moment for which a busy machine kept the loop."""
    loop = asyncio.get_running_loop()
    beats = [loop.time()]

    async def beat() -> None:
        while True:
            await asyncio.sleep(0.001)
            beats.append(loop.time())

    beating, end = asyncio.create_task(beat()), 0.0
    try:
        yield lambda: end - beats[0] - max((b - a for a, b in pairwise([*beats, end])), default=0.0)
    finally:
        end = loop.time()
        beating.cancel()


async def test_what_comes_in_time_comes_whole() -> None:
    source = Source(STARTED, WORD, ends=True)
    assert await _read(0.2, source) == [STARTED, WORD]
    assert source.closed
    await asyncio.sleep(0.25)


@pytest.mark.parametrize(
    ("source", "stage"),
    [(Source(), "first_token"), (Source(STARTED), "first_token"), (Source(STARTED, WORD), "between_tokens")],
)
async def test_who_waits_too_long_is_told_in_time(source: Source, stage: str) -> None:
    with pytest.raises(DeadlineExceeded) as told:
        async with _punctual() as late:
            await _read(0.2, source)
    assert late() < 0.2
    assert told.value.metadata == {"generation_id": "g", "stage": stage}
    assert source.closed
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_a_watcher_is_not_disturbed_in_what_it_does_with_an_event() -> None:
    source = Source(STARTED, WORD)
    async with aclosing(before_deadline(0.05, "g", source())) as events:  # type: ignore[type-var]
        assert await anext(events) is STARTED
        await asyncio.sleep(0.1)
        with pytest.raises(DeadlineExceeded):
            await anext(events)
    assert source.closed


async def test_a_watcher_who_is_cancelled_is_told_nothing_else() -> None:
    for pause in (0.0, 0.03):
        source = Source(STARTED)
        task = asyncio.create_task(_read(0.031, source))
        await asyncio.sleep(pause)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or isinstance(task.exception(), DeadlineExceeded)


async def test_a_deadline_that_is_over_is_told_at_once() -> None:
    with pytest.raises(DeadlineExceeded):
        await _read(0.0, Source(STARTED))


@pytest.mark.parametrize(("remaining", "made"), [(100.0, 99.9), (1.0, 0.95), (0.1, 0.095), (0.0, 0.0)])
def test_an_answer_ends_a_little_before_its_caller_does(remaining: float, made: float) -> None:
    assert time_to_make(remaining) == pytest.approx(made)
