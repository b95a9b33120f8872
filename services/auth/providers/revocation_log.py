"""The feed of revocations in Auth's own process: one reader of the table, and everyone who watches."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from services.auth.ports.revocations import RevocationTable
from services.capabilities.identity.ports import RevocationSource
from services.capabilities.identity.revocations import FeedItem, Heartbeat, Revocation, Synced
from services.kernel.errors import Unavailable

_log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
HEARTBEAT_SECONDS = 0.7
"""Looked at after each poll, so that a second never passes without one."""

PAGE = 1000
QUEUE = 10_000
"""Entries that may wait for a watcher."""

_READ_SECONDS = 5.0
_LONGEST_PAUSE = 1.0
_HEARTBEAT = Heartbeat()


class RevocationLog:
    """The identity capability's RevocationSource over the table. `start` before use, `aclose` at the end.

    The table is read every `poll_seconds`, and at once after `wake`. Heartbeats stop while it can't be read. A watcher that lets more
    than `queue` entries wait is ended with Unavailable, as all are when the table turns out to end before the position that was
    reached: its database was restored from a backup then.
    """

    def __init__(
        self,
        table: RevocationTable,
        *,
        poll_seconds: float = POLL_SECONDS,
        page: int = PAGE,
        queue: int = QUEUE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._poll_seconds = poll_seconds
        self._page = page
        self._queue = queue
        self._clock = clock
        self._position = 0
        self._watchers: set[_Watcher] = set()
        self._woken = asyncio.Event()
        self._heartbeat_at = float("-inf")
        self._failures = 0
        # Readings that have begun: a watcher that came before one began can't be ahead of what it finds.
        self._readings = 0
        self._task: asyncio.Task[None] | None = None
        self._ended = self._draining = False
        self.for_peers: RevocationSource = _ForPeers(self)
        """The same feed for other processes: what they watch is ended by `drain`."""

    async def start(self) -> None:
        """Find out where the feed is, and follow it. Raises Unavailable when the table can't be read."""
        self._position = await self._table.last()
        self._task = asyncio.create_task(self._follow(), name="revocation log")

    async def aclose(self) -> None:
        """End the reading, and every watcher."""
        self._ended = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._end_watchers("The feed of revocations ends here; watch it elsewhere.")

    async def drain(self, grace: float) -> None:
        """End what other processes watch, for good: they would hold up a stop, and find another replica in time."""
        self._draining = True
        self._end_watchers("This replica of Auth is stopping; watch the feed elsewhere.", only_peers=True)

    def wake(self) -> None:
        """Have the table read at once."""
        self._woken.set()

    def watch(self, after: int | None) -> AsyncIterator[FeedItem]:
        """See `services.capabilities.identity.ports.RevocationSource`."""
        return self.watching(after)

    async def watching(self, after: int | None, *, peer: bool = False) -> AsyncIterator[FeedItem]:
        """As `watch`; `peer` says that it is for another process."""
        position = after or 0
        if after and not await self._table.after(after - 1, 1):
            # The last entry is always kept, so the table ends before `after`: the watcher has seen what is no more.
            position = await self._table.last()
        read = self._table.current if after is None else self._table.after
        while True:
            reached = self._position
            entries = await read(position, self._page)
            for entry in entries:
                yield entry
                position = entry.position
            if len(entries) == self._page:
                continue
            if position >= self._position:
                break
            if not entries and position < reached:
                # The table ends before the position that was reached by then, which the next reading will notice.
                self.wake()
                raise Unavailable("The feed of revocations starts over; watch it again.")
        if self._ended or (peer and self._draining):
            raise Unavailable("The feed of revocations ends here; watch it elsewhere.")
        # Nothing suspends from the comparison above to here, so what is read from now on, and only that, comes by the queue.
        watcher = _Watcher(position, self._queue, self._readings, peer=peer)
        self._watchers.add(watcher)
        try:
            yield Synced(position)
            while True:
                yield await watcher.next()
        finally:
            self._watchers.discard(watcher)

    async def _follow(self) -> None:
        while True:
            if self._failures:
                # Not shortened by a wake-up, which would make a busy loop of an outage.
                await asyncio.sleep(min(_LONGEST_PAUSE, self._poll_seconds * 2 ** min(self._failures, 8)))
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_seconds):
                        await self._woken.wait()
            self._woken.clear()
            try:
                await self._read()
            except Exception as error:
                # Whatever it was, whoever watches is told by the silence, and the next attempt is near.
                self._failed(error)
            else:
                if self._failures:
                    _log.warning("The revocations can be read again")
                self._failures = 0

    async def _read(self) -> None:
        self._readings += 1
        reading = self._readings
        while True:
            async with asyncio.timeout(_READ_SECONDS):
                # From the last known entry on: if not even that one is there, the table is not the one that it was.
                found = await self._table.after(max(0, self._position - 1), self._page)
                if self._position and not found:
                    self._position = await self._table.last()
                    _log.error("The feed of revocations went back to %d; it starts over", self._position)
                    self._end_watchers("The feed of revocations starts over; watch it again.")
                    return
            news = [entry for entry in found if entry.position > self._position]
            if news:
                self._position = news[-1].position
                self._give(news)
            if len(found) < self._page:
                break
        for watcher in list(self._watchers):
            if watcher.began_at > self._position and watcher.came_in < reading:
                # It had read the table further than this one did when the table went back.
                self._watchers.discard(watcher)
                watcher.end("The feed of revocations starts over; watch it again.")
        now = self._clock()
        if now - self._heartbeat_at >= HEARTBEAT_SECONDS:
            self._heartbeat_at = now
            for watcher in self._watchers:
                watcher.beat()

    def _give(self, entries: Sequence[Revocation]) -> None:
        for watcher in list(self._watchers):
            if not watcher.give(entries):
                self._watchers.discard(watcher)
                watcher.end("This watcher does not keep up; watch again from the last position.")

    def _failed(self, error: Exception) -> None:
        if not self._failures:
            why = str(error) or type(error).__name__
            _log.error(
                "The revocations can't be read, so no process learns of new ones: %s",
                why,
                exc_info=not isinstance(error, Unavailable | TimeoutError),
            )
        self._failures += 1
        # A heartbeat that is still to be taken would come late, and say more than is known by then.
        for watcher in self._watchers:
            watcher.skip_a_beat()

    def _end_watchers(self, why: str, *, only_peers: bool = False) -> None:
        for watcher in list(self._watchers):
            if watcher.peer or not only_peers:
                self._watchers.discard(watcher)
                watcher.end(why)


class _ForPeers:
    def __init__(self, log: RevocationLog) -> None:
        self._log = log

    def watch(self, after: int | None) -> AsyncIterator[FeedItem]:
        """See `services.capabilities.identity.ports.RevocationSource`."""
        return self._log.watching(after, peer=True)


class _Watcher:
    """What waits for one watcher, who has everything up to `position` already, and came when so many readings had begun."""

    def __init__(self, position: int, limit: int, came_in: int, *, peer: bool) -> None:
        self.peer = peer
        self.began_at = position
        self.came_in = came_in
        self._limit = limit
        self._entries: deque[Revocation] = deque()
        self._beat = False
        self._end = ""
        self._news = asyncio.Event()

    def give(self, entries: Sequence[Revocation]) -> bool:
        """Add entries; False when too many wait."""
        self._entries.extend(entry for entry in entries if entry.position > self.began_at)
        self._news.set()
        return len(self._entries) <= self._limit

    def beat(self) -> None:
        """Have a heartbeat follow what waits. It says the same as one before it, so only one waits."""
        self._beat = True
        self._news.set()

    def skip_a_beat(self) -> None:
        """Take the heartbeat back that waits, if one does."""
        self._beat = False

    def end(self, why: str) -> None:
        """Let nothing more come but the end."""
        self._end = why
        self._entries.clear()
        self._news.set()

    async def next(self) -> FeedItem:
        """What comes next. Raises Unavailable at the end."""
        while True:
            if self._end:
                raise Unavailable(self._end)
            if self._entries:
                return self._entries.popleft()
            if self._beat:
                self._beat = False
                return _HEARTBEAT
            self._news.clear()
            await self._news.wait()
