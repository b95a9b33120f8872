"""Calls in which nothing began, on their way into the outbox: at most so many at a time, and each at most once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from services.capabilities.metering.mapping import refused_to_proto
from services.capabilities.metering.metrics import ServiceUsage
from services.capabilities.metering.ports import Outbox, Waiting
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from services.kernel.metering import EndedCall, Question
from services.kernel.outages import Outage

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 1.0
_ROWS_AT_ONCE = 1000
# Some microseconds each: nobody else should wait for all of them.
_MADE_AT_ONCE = 100
# What was under way in the store when its connection broke has come to its end by then.
_SETTLED_SECONDS = 1.0
# Anybody can call without a credential, and be refused for ever: of the limit such calls have one part in so many.
_ANONYMOUS_SHARE = 20


class _Ended(NamedTuple):
    event_id: str
    end_time: float
    call: EndedCall


class RefusedCalls:
    """Keeps the promises of `CallMeter`: a call is put into a queue, and those of a second go into the outbox together.

    While the outbox is away they wait, `limit` of them, and of anonymous callers a twentieth of that, at least one; what is more is counted.
    So is one that can't be recorded, and the others are recorded without it. A call of which it is not known whether something has begun
    waits until that is.
    """

    def __init__(
        self, store: Outbox, usage: ServiceUsage, limit: int, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._usage = usage
        self._limit = limit
        self._anonymous_limit = max(1, limit // _ANONYMOUS_SHARE)
        self._anonymous = 0
        self._clock = clock
        self._waiting: deque[_Ended] = deque()
        self._moving = 0
        self._one_at_a_time = asyncio.Lock()
        self._lost = Outage(
            lambda error: log.warning("refused calls can't be recorded now; trying again", error=error),
            lambda: log.info("refused calls are recorded again"),
        )

    def ended_without_result(self, call: EndedCall) -> None:
        """See `CallMeter`."""
        anonymous = call.principal.is_anonymous
        if len(self._waiting) + self._moving >= self._limit or (
            anonymous and self._anonymous >= self._anonymous_limit
        ):
            self._usage.dropped()
            return
        self._anonymous += anonymous
        self._waiting.append(_Ended(new_id(), self._clock(), call))

    async def run(self) -> None:
        """Flush every second, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self, *, last: bool = False) -> None:
        """Put what waits into the outbox; with `last` also give up what is not known, or not taken, by then. Does not fail: what the outbox
        does not take waits for the next time."""
        async with self._one_at_a_time:
            try:
                await self._flush(last=last)
            finally:
                self._anonymous = sum(one.call.principal.is_anonymous for one in self._waiting)

    async def _flush(self, *, last: bool) -> None:
        left, size, bad = len(self._waiting), _ROWS_AT_ONCE, 0
        while left > 0:
            count = min(left, size)
            taken = [self._waiting.popleft() for _ in range(count)]
            self._moving = count
            try:
                unknown = await self._record(taken, last=last)
                self._lost.over()
            except Unavailable as error:
                self._waiting.extendleft(reversed(taken))
                self._lost.pause(error.message)
                if last:
                    self._usage.dropped(len(self._waiting))
                return
            except asyncio.CancelledError:
                # That some of them are there already does no harm.
                self._waiting.extendleft(reversed(taken))
                raise
            except Exception:
                if count > 1:
                    # One of them is at fault. Half of them are tried, until it is alone.
                    self._waiting.extendleft(reversed(taken))
                    size = count // 2
                    continue
                # It would fail again. Once a flush is enough of it.
                bad += 1
                if bad == 1:
                    log.exception("a refused call could not be recorded")
                self._usage.dropped()
                left -= 1
            else:
                self._waiting.extend(unknown)
                left -= count
                size = min(2 * size, _ROWS_AT_ONCE)
            finally:
                self._moving = 0

    async def _record(self, taken: Sequence[_Ended], *, last: bool) -> list[_Ended]:
        """Record those that made nothing, and return those of which that is not known yet."""
        refused, unknown = [], []
        for ended in taken:
            question = ended.call.question
            begun = False if question is None else await self._has_begun(ended, question, last=last)
            if begun is None:
                unknown.append(ended)
            elif not begun:
                refused.append(ended)
        rows: list[Waiting] = []
        for first in range(0, len(refused), _MADE_AT_ONCE):
            rows += [
                Waiting(
                    one.event_id,
                    refused_to_proto(one.event_id, one.end_time, one.call).SerializeToString(
                        deterministic=True
                    ),
                )
                for one in refused[first : first + _MADE_AT_ONCE]
            ]
            await asyncio.sleep(0)
        if rows:
            await self._store.add(rows, [one.call.principal.user_id for one in refused])
            statuses = Counter(["cancelled" if one.call.cancelled else "error" for one in refused])
            for status, count in statuses.items():
                self._usage.refused(count, status)
        if last:
            self._usage.dropped(len(unknown))
            return []
        return unknown

    async def _has_begun(self, ended: _Ended, question: Question, *, last: bool) -> bool | None:
        if not last and self._clock() - ended.end_time < _SETTLED_SECONDS:
            return None
        return await question()
