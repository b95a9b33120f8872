"""The telling of other replicas that records have grown, off the writer's path."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import structlog

from services.chat.ports import Tails
from services.kernel.errors import ServiceError

log = structlog.get_logger(__name__)

# What grows within this time is told together.
_PAUSE_SECONDS = 0.01
_PAUSE_AFTER_FAILURE_SECONDS = 0.5
_ANNOUNCE_SECONDS = 2.0


class Announcer:
    """Announces growth of the generations that are watched elsewhere; of the others nobody is told.

    Whoever makes a record never waits for this. What can't be announced is dropped: watchers look by themselves, too.
    """

    def __init__(self, tails: Tails) -> None:
        self._tails = tails
        self._watched: Collection[str] = frozenset()
        self._grown: set[str] = set()
        self._work = asyncio.Event()

    def watched(self, generation_ids: Collection[str]) -> None:
        """These are watched elsewhere, and no others."""
        self._watched = generation_ids

    def grown(self, generation_id: str) -> None:
        """More of this one is on record, or its end is."""
        if generation_id in self._watched:
            self.announce(generation_id)

    def announce(self, generation_id: str) -> None:
        """Tell it without knowing whether anybody watches."""
        self._grown.add(generation_id)
        self._work.set()

    async def run(self) -> None:
        """Announce, one round at a time, until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            grown, self._grown = self._grown, set()
            pause = _PAUSE_SECONDS
            try:
                async with asyncio.timeout(_ANNOUNCE_SECONDS):
                    await self._tails.announce(grown)
            except (ServiceError, TimeoutError) as error:
                pause = _PAUSE_AFTER_FAILURE_SECONDS
                log.info(
                    "growth could not be announced; whoever watches elsewhere sees it a little later",
                    error=str(error) or "no answer in time",
                )
            except Exception:
                pause = _PAUSE_AFTER_FAILURE_SECONDS
                log.exception("growth could not be announced")
            await asyncio.sleep(pause)
