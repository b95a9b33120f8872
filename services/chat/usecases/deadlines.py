"""Work for a caller ends shortly before the caller's deadline, so that the caller is told why and not only that it is late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from services.chat.model import Event, Fallback, Started
from services.kernel.errors import DeadlineExceeded

_MAKING_SECONDS, _MAKING_SHARE = 0.1, 0.05
# How an answer ended has to be recorded and shown before its watchers are sent away.
_WATCHING_SECONDS, _WATCHING_SHARE = 0.05, 0.025


def time_to_make(remaining: float) -> float:
    """The seconds that an answer may take that is made for a caller alone who waits for `remaining` seconds."""
    return remaining - min(_MAKING_SECONDS, remaining * _MAKING_SHARE)


async def before_deadline(
    remaining: float, generation_id: str, events: AsyncIterator[Event]
) -> AsyncIterator[Event]:
    """The events, as long as they come in time for a caller who waits for `remaining` seconds.

    Raises DeadlineExceeded when they do not, which names the generation. Whoever iterates closes the iterator, in the task that
    iterates.
    """
    stage = "first_token"
    alarm = _Alarm(remaining - min(_WATCHING_SECONDS, remaining * _WATCHING_SHARE))
    try:
        async with aclosing(events):  # type: ignore[type-var]
            while not alarm.rang:
                try:
                    event = await alarm.heeded(events)
                except StopAsyncIteration:
                    return
                if event is not None:
                    if not isinstance(event.body, Started | Fallback):
                        stage = "between_tokens"
                    yield event
    finally:
        alarm.close()
    raise DeadlineExceeded(
        f"your deadline is over before the answer is: the record of generation {generation_id} goes on without you, unless you asked"
        " to have it stopped; read it with ResumeStream or GetGeneration",
        metadata={"generation_id": generation_id, "stage": stage},
    )


class _Alarm:
    """Rings once, and breaks off what is awaited then. One timer serves a whole stream, however many events it has."""

    def __init__(self, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._heeded = False
        self.rang = False
        self._timer = asyncio.get_running_loop().call_later(seconds, self._ring)

    def _ring(self) -> None:
        self.rang = True
        if self._heeded:
            self._task.cancel()

    async def heeded(self, events: AsyncIterator[Event]) -> Event | None:
        """The next event; None when the alarm rang first."""
        cancelling = self._task.cancelling()
        self._heeded = True
        try:
            return await anext(events)
        except asyncio.CancelledError:
            if self.rang and self._task.uncancel() <= cancelling:
                return None
            raise
        finally:
            self._heeded = False

    def close(self) -> None:
        """Ring no more."""
        self._timer.cancel()
