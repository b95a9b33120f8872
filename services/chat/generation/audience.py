"""Whether anybody, on any replica, still watches what is to stop when nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from services.chat.generation.tails import WATCH_TTL
from services.chat.ports import Tails
from services.kernel.errors import ServiceError

log = structlog.get_logger(__name__)

_ASK_SECONDS = 0.25
_ANSWER_SECONDS = 2.0


@dataclass(slots=True)
class _Unwatched:
    """A generation that nobody watches here. `known` is when that was last known of all replicas, and `gone` since when nobody watches
    anywhere, as far as is known; None while somebody does."""

    grace: float
    known: float
    gone: float | None


class Audience:
    """Waits with generations that nobody watches on this replica until nobody has watched them anywhere for their grace.

    While there are such, the store is asked every quarter of a second, and always at the end of a grace, who watches elsewhere; all are
    asked about together. When the store can't be asked, a generation goes on for its grace and the life of a watch, counted from the last
    answer: by then no watch that was known of can be in force, and whoever would read elsewhere reads from that same store.
    """

    def __init__(self, tails: Tails, stop: Callable[[str], None]) -> None:
        self._tails = tails
        self._stop = stop
        self._unwatched: dict[str, _Unwatched] = {}
        self._left = asyncio.Event()

    def left(self, generation_id: str, grace: float) -> None:
        """Nobody watches it here any more; `grace` is in seconds."""
        now = asyncio.get_running_loop().time()
        self._unwatched[generation_id] = _Unwatched(grace, now, now)
        self._left.set()

    def returned(self, generation_id: str) -> None:
        """Somebody watches it here, or it has ended."""
        self._unwatched.pop(generation_id, None)

    async def run(self) -> None:
        """Ask, and stop what nobody watches, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._unwatched:
                await self._left.wait()
            self._left.clear()
            # Whoever has just begun one gets its turn to watch it.
            await asyncio.sleep(0)
            asked, now = dict(self._unwatched), loop.time()
            elsewhere = await self._elsewhere(asked)
            for generation_id, unwatched in asked.items():
                # Who came back meanwhile, even if only to leave again, begins anew.
                if self._unwatched.get(generation_id) is unwatched and self._is_over(
                    unwatched, None if elsewhere is None else generation_id in elsewhere, now
                ):
                    del self._unwatched[generation_id]
                    self._stop(generation_id)
            await self._pause()

    async def _elsewhere(self, asked: dict[str, _Unwatched]) -> frozenset[str] | None:
        if not asked:
            return None
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

    async def _pause(self) -> None:
        """Until it is time to ask again, or somebody else has left."""
        now = asyncio.get_running_loop().time()
        # Those whose end has come and that were not stopped wait for a store that does not answer.
        due = [one.gone + one.grace - now for one in self._unwatched.values() if one.gone is not None]
        pause = min([_ASK_SECONDS, *(left for left in due if left > 0)])
        try:
            async with asyncio.timeout(pause):
                await self._left.wait()
        except TimeoutError:
            pass
