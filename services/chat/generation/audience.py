"""Whether anybody, on any replica, still watches what is to stop when nobody does."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from services.chat.generation.tails import WATCH_TTL
from services.chat.ports import Tails
from services.kernel.errors import ServiceError

log = structlog.get_logger(__name__)

_ASK_SECONDS = 0.25
# Whoever has just begun one gets its turn to watch it.
_TURN_SECONDS = 0.02
_ANSWER_SECONDS = 2.0


@dataclass(slots=True)
class _Unwatched:
    """A generation that nobody watches here since `left`. `known` is when that was last known of all replicas, and `gone` since when nobody
    watches anywhere, as far as is known; None while somebody does."""

    grace: float
    left: float
    known: float
    gone: float | None


class Audience:
    """Waits with generations that nobody watches on this replica until nobody has watched them anywhere for their grace.

    While there are such, the store is asked who watches elsewhere, about all of them together: every quarter of a second as a rule, never
    more often, and where that allows it at the end of a grace. When the store can't be asked, a generation goes on for its grace and the life
    of a watch, counted from the last answer: by then no watch that was known of can be in force, and whoever would read elsewhere reads
    from that same store.
    """

    def __init__(self, tails: Tails, stop: Callable[[str], None]) -> None:
        self._tails = tails
        self._stop = stop
        self._unwatched: dict[str, _Unwatched] = {}
        self._asked = self._planned = -math.inf
        self._sooner = asyncio.Event()

    def left(self, generation_id: str, grace: float) -> None:
        """Nobody watches it here any more; `grace` is in seconds."""
        now = asyncio.get_running_loop().time()
        one = self._unwatched[generation_id] = _Unwatched(grace, now, now, now)
        if self._due(one) < self._planned:
            self._sooner.set()

    def returned(self, generation_id: str) -> None:
        """Somebody watches it here, or it has ended."""
        self._unwatched.pop(generation_id, None)

    async def run(self) -> None:
        """Ask, and stop what nobody watches, until cancelled."""
        while True:
            await self._time_to_ask()
            await self._ask()

    async def _time_to_ask(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._sooner.clear()
            self._planned = self._next()
            left = self._planned - loop.time()
            if left <= 0:
                return
            try:
                async with asyncio.timeout(left if self._unwatched else None):
                    await self._sooner.wait()
            except TimeoutError:
                pass

    def _next(self) -> float:
        """When to ask. The end of a grace moves the round that comes before it, as nobody is to wait for the one behind it."""
        if not self._unwatched:
            return math.inf
        regular = max(self._asked, min(one.left for one in self._unwatched.values())) + _ASK_SECONDS
        due = min(self._due(one) for one in self._unwatched.values())
        return due if due < regular + _ASK_SECONDS else regular

    def _due(self, one: _Unwatched) -> float:
        """When its grace is over, unless the store was asked too short a time before."""
        if one.gone is None:
            return math.inf
        return max(one.gone + max(one.grace, _TURN_SECONDS), self._asked + _ASK_SECONDS)

    async def _ask(self) -> None:
        asked, now = dict(self._unwatched), asyncio.get_running_loop().time()
        self._asked = now
        elsewhere = await self._elsewhere(asked)
        for generation_id, unwatched in asked.items():
            # Who came back meanwhile, even if only to leave again, begins anew.
            if self._unwatched.get(generation_id) is unwatched and self._is_over(
                unwatched, None if elsewhere is None else generation_id in elsewhere, now
            ):
                del self._unwatched[generation_id]
                self._stop(generation_id)

    async def _elsewhere(self, asked: dict[str, _Unwatched]) -> frozenset[str] | None:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self._tails.watched(asked.keys())
        except (ServiceError, TimeoutError) as error:
            log.warning(
                "who watches elsewhere could not be asked; trying again",
                error=str(error) or "no answer in time",
            )
        except Exception:
            log.exception("who watches elsewhere could not be asked; trying again")
        return None

    def _is_over(self, unwatched: _Unwatched, elsewhere: bool | None, now: float) -> bool:
        """`now` is when the store was asked: who began to watch after that is not in its answer."""
        if elsewhere is None:
            return now - unwatched.known >= unwatched.grace + WATCH_TTL.total_seconds()
        unwatched.known = now
        if elsewhere:
            unwatched.gone = None
            return False
        if unwatched.gone is None:
            unwatched.gone = now
        return now - unwatched.gone >= unwatched.grace
