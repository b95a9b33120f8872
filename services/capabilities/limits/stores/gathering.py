"""Counts that several processes share: calls that arrive while others are being counted are counted together, after them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass

from services.capabilities.limits.model import Count
from services.kernel.errors import Unavailable

_log = logging.getLogger(__name__)

ANSWER_SECONDS = 1.0
MAXIMUM_WAITING = 10_000
MAXIMUM_REMEMBERED = 100_000
_BATCH = 512
_PAUSE_SECONDS = 1.0

Key = tuple[str, str]
"""A class, and a caller."""


@dataclass(frozen=True, slots=True)
class Window:
    """What the store says of a window: the calls that it was raised to, those beyond the limit too, and seconds until its end."""

    used: int
    left: float


Raise = Callable[[Sequence[Key], Sequence[int]], Awaitable[Mapping[Key, Window]]]
"""Raises the windows of some callers by so many calls, a new one where none lasts, and returns them as they are then. Raises Unavailable."""


class _Asked:
    """The calls of one class and caller that wait for an answer; None tells them that there is none."""

    __slots__ = ("limit", "waiters")

    def __init__(self) -> None:
        self.limit = 0
        self.waiters: list[asyncio.Future[Count | None]] = []


class GatheredCounts:
    """Lets calls in by what a store says of their windows.

    While the store is asked, the calls that arrive gather for the next time. A caller who is known to have reached its limit is refused
    from memory until its window ends. After a failure nobody waits: for a second all are told Unavailable, then the next call asks again,
    and the others are told Unavailable until it has its answer. Belongs to the event loop that it is used in; `aclose` at the end.
    """

    def __init__(
        self,
        service: str,
        raise_windows: Raise,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`service` is named in the log. The store may take `answer_seconds`."""
        self._service = service
        self._raise = raise_windows
        self._answer_seconds = answer_seconds
        self._clock = clock
        self._pending: dict[Key, _Asked] = {}
        self._waiting = 0
        self._full: OrderedDict[Key, float] = OrderedDict()
        self._worker: asyncio.Task[None] | None = None
        self._away = False
        self._ask_again_at = float("-inf")
        self._closed = False

    async def take(self, name: str, caller: str, limit: int) -> Count:
        """See `Counters`."""
        key = (name, caller)
        ends_at = self._full.get(key)
        if ends_at is not None:
            left = ends_at - self._clock()
            if left > 0:
                return Count(False, 0, left)
            del self._full[key]
        if self._closed or self._waiting >= MAXIMUM_WAITING or self._clock() < self._ask_again_at:
            raise _unavailable()
        if self._away and self._worker is not None:
            # One call finds out whether the database is back, and may have to wait a while for that.
            raise _unavailable()
        asked = self._pending.get(key)
        if asked is None:
            asked = self._pending[key] = _Asked()
        asked.limit = limit
        answer: asyncio.Future[Count | None] = asyncio.get_running_loop().create_future()
        asked.waiters.append(answer)
        if self._worker is None:
            # Its log lines are of no call in particular, so it gets nothing of this one's context.
            self._worker = asyncio.create_task(self._work(), name="limits", context=Context())
        self._waiting += 1
        try:
            count = await answer
        finally:
            self._waiting -= 1
        if count is None:
            raise _unavailable()
        return count

    def forget_ended(self) -> None:
        """Forget who had reached its limit in a window that has ended."""
        now = self._clock()
        while self._full and next(iter(self._full.values())) <= now:
            self._full.popitem(last=False)

    async def warm(self) -> None:
        """Ask the store for nothing, so that the first call does not wait for a connection. Raises Unavailable."""
        await self._execute([], [])

    async def aclose(self) -> None:
        """Tell who waits Unavailable."""
        self._closed = True
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        _refuse(self._pending)
        self._pending.clear()

    async def _work(self) -> None:
        try:
            while self._pending:
                batch = self._next_batch()
                if batch:
                    await self._ask(batch)
        finally:
            self._worker = None

    def _next_batch(self) -> dict[Key, _Asked]:
        batch = {}
        for key in list(self._pending)[:_BATCH]:
            asked = self._pending.pop(key)
            asked.waiters = [answer for answer in asked.waiters if not answer.done()]
            if asked.waiters:
                batch[key] = asked
        return batch

    async def _ask(self, batch: Mapping[Key, _Asked]) -> None:
        try:
            windows = await self._execute(list(batch), [len(asked.waiters) for asked in batch.values()])
            now = self._clock()
            for key, asked in batch.items():
                self._answer(key, asked, windows[key], now)
        except Unavailable as error:
            self._failed(batch, error)
        except Exception as error:
            _log.exception("calls could not be counted in a way that was not foreseen")
            self._failed(batch, error)
        except BaseException:
            _refuse(batch)
            raise
        else:
            if self._away:
                self._away = False
                _log.warning("calls are counted again", extra={"service": self._service})

    async def _execute(self, keys: Sequence[Key], wanted: Sequence[int]) -> Mapping[Key, Window]:
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await self._raise(keys, wanted)
        except TimeoutError:
            raise _unavailable() from None

    def _answer(self, key: Key, asked: _Asked, window: Window, now: float) -> None:
        """Share out what the store says among those who wait: the window was raised by one for each, and has room up to the limit."""
        before = window.used - len(asked.waiters)
        waiters = [answer for answer in asked.waiters if not answer.done()]
        for number, answer in enumerate(waiters, before + 1):
            answer.set_result(Count(number <= asked.limit, max(0, asked.limit - number), window.left))
        if window.used >= asked.limit:
            if len(self._full) >= MAXIMUM_REMEMBERED:
                self._full.popitem(last=False)
            self._full[key] = now + window.left

    def _failed(self, batch: Mapping[Key, _Asked], error: Exception) -> None:
        if not self._away:
            self._away = True
            why = error.__cause__ or error
            _log.warning("calls can't be counted", extra={"service": self._service, "why": str(why)})
        self._ask_again_at = self._clock() + _PAUSE_SECONDS
        _refuse(batch)
        # They came while the statement was under way, and would only wait for the next one to fail.
        _refuse(self._pending)
        self._pending.clear()


def _refuse(asked: Mapping[Key, _Asked]) -> None:
    for one in asked.values():
        for answer in one.waiters:
            if not answer.done():
                answer.set_result(None)


def _unavailable() -> Unavailable:
    return Unavailable("Calls can't be counted now; try again.", retry_after=_PAUSE_SECONDS)
