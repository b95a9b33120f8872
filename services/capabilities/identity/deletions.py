"""Follows the deletion of people: what they made goes, in every service, also in one that was away when it happened."""

from __future__ import annotations

import asyncio
import heapq
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

import structlog

from services.capabilities.identity.ports import RevocationSource
from services.capabilities.identity.revocations import FeedItem, Revocation, RevocationKind, Synced
from services.kernel.errors import ServiceError, Unavailable
from services.kernel.outages import Outage

log = structlog.get_logger(__name__)

SETTLE_SECONDS = 10.0
"""How long a call that was let in before this process learned of the deletion may still be at its first write."""

_MOST_PENDING = 10_000
_ADVANCE_SECONDS = 1.0
_SILENCE_SECONDS = 30.0
_BEHIND_SECONDS = 3.0
_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 5.0
_LONG_SECONDS = 300.0


def ddl(schema: str) -> tuple[str, ...]:
    """The table that says how far a service has come in the feed; one row. Histories that ran it rely on it as it is."""
    return (
        f"""
        create table {schema}.deletions (
            only_one boolean primary key default true check (only_one),
            revocation_id bigint not null
        )
        """,
        f"insert into {schema}.deletions (revocation_id) values (0)",
    )


class Deletions(Protocol):
    """What a service keeps of people, and how far it has followed their deletion. All methods raise Unavailable when that can't be
    told or done now; repeating them is safe, also in several processes at once."""

    async def position(self) -> int:
        """The position in the feed up to which all was removed; 0 before the first."""
        ...

    async def advance(self, position: int) -> None:
        """All up to this position was removed. One behind that of another process changes nothing."""
        ...

    async def restart(self) -> None:
        """The position is 0 again: the feed is another one."""
        ...

    async def remove(self, user_id: str) -> bool:
        """Remove what the person made, and have what is being made for them end. False when something of it has not ended yet, and
        is to be removed by asking again soon. Once it was True, only a call that began before can leave something."""
        ...


@dataclass(slots=True, order=True)
class _Pending:
    """A deletion that is not finished. Times are the loop's: `due` when it is next at, `settled` from when on nobody can be writing for
    the person any more."""

    due: float
    position: int
    user_id: str = field(compare=False)
    learned: float = field(compare=False)
    settled: float = field(compare=False)
    pause: float = field(compare=False, default=_FIRST_PAUSE_SECONDS)
    failed: bool = field(compare=False, default=False)
    slow: bool = field(compare=False, default=False)


class DeletionFollower:
    """Has a service remove what deleted people made.

    Each deletion is done at once, and once more after `settle` seconds, before the durable position moves past it; deletions
    that came later do not wait for it. Any number of processes may follow for one service.
    """

    def __init__(self, source: RevocationSource, store: Deletions, *, settle: float = SETTLE_SECONDS) -> None:
        """`settle`: for how many seconds a process that has not heard of a deletion may write for the person; SETTLE_SECONDS longer
        than one that is cut off from Auth lets calls in."""
        self._source = source
        self._store = store
        self._settle = settle
        self._read = -1
        self._advanced = -1
        self._advance_at = 0.0
        self._behind = False
        # By position, in its order; and by what is due next, with entries that are pending no more still in it.
        self._pending: dict[int, _Pending] = {}
        self._queue: list[_Pending] = []
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._moving = asyncio.Lock()
        self._source_lost = Outage(
            lambda error: log.error("the deletions of people can't be followed; trying again", error=error),
            lambda: log.info("the deletions of people are followed again"),
        )
        self._store_lost = Outage(
            lambda error: log.error("what deleted people made can't be removed; trying again", error=error),
            lambda: log.info("what deleted people made is removed again"),
        )

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name="deletions: reading")
            tasks.create_task(self._finish(), name="deletions: removing")

    # -- reading

    async def _follow(self) -> NoReturn:
        while True:
            try:
                if self._read < 0:
                    self._read = self._advanced = await self._store.position()
                await self._watch()
                pause = _BEHIND_SECONDS if self._behind else self._source_lost.pause("the feed ended")
            except ServiceError as error:
                pause = self._source_lost.pause(error.message)
            except TimeoutError:
                pause = self._source_lost.pause(f"nothing was heard for {_SILENCE_SECONDS:.0f} s")
            except Exception:
                log.exception("the deletions of people can't be followed; trying again")
                pause = _LONGEST_PAUSE_SECONDS
            await asyncio.sleep(pause)

    async def _watch(self) -> None:
        async with aclosing(self._source.watch(self._read)) as feed:  # type: ignore[type-var]
            while True:
                async with asyncio.timeout(_SILENCE_SECONDS):
                    item = await anext(feed, None)
                if item is None:
                    return
                self._source_lost.over()
                if isinstance(item, Synced) and item.position < self._read:
                    await self._is_behind(item.position)
                    return
                self._take(item)
                while len(self._pending) >= _MOST_PENDING:
                    self._room.clear()
                    await self._room.wait()

    def _take(self, item: FeedItem) -> None:
        if isinstance(item, Revocation):
            if item.kind is RevocationKind.USER_DELETED:
                now = asyncio.get_running_loop().time()
                # When the last credential has run out nobody was let in lately, and once is enough.
                long_ago = time.time() > item.expire_time + self._settle
                settled = now if long_ago else now + self._settle
                entry = _Pending(now, item.position, item.subject_id, now, settled)
                self._pending[item.position] = entry
                heapq.heappush(self._queue, entry)
            self._read = item.position
        elif isinstance(item, Synced):
            self._behind = False
            self._read = item.position
        self._work.set()

    async def _is_behind(self, position: int) -> None:
        """The feed has not come as far as this service has. Another replica of Auth may lag for a moment; otherwise Auth's database was
        restored from an older backup, and positions will be given out a second time."""
        if not self._behind:
            self._behind = True
            return
        log.warning(
            "the feed of revocations is behind what was followed of it, as after a restored backup; following it from its beginning",
            position=position,
            followed=self._read,
        )
        async with self._moving:
            await self._store.restart()
            self._pending.clear()
            self._queue.clear()
            self._read = self._advanced = 0
        self._behind = False

    # -- removing

    async def _finish(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        while True:
            self._work.clear()
            while self._queue and self._pending.get(self._queue[0].position) is not self._queue[0]:
                heapq.heappop(self._queue)
            now = loop.time()
            try:
                if self._queue and self._queue[0].due <= now:
                    await self._remove(self._queue[0])
                    self._store_lost.over()
                if self._reached() > self._advanced and now >= self._advance_at:
                    self._advance_at = now + _ADVANCE_SECONDS
                    await self._advance()
                    self._store_lost.over()
            except Unavailable as error:
                await asyncio.sleep(self._store_lost.pause(error.message))
                continue
            except Exception:
                log.exception("the position in the feed of revocations can't be kept; trying again")
                await asyncio.sleep(_LONGEST_PAUSE_SECONDS)
                continue
            await self._rest()

    async def _rest(self) -> None:
        """Wait until there is something to do."""
        times = [self._queue[0].due] if self._queue else []
        if self._reached() > self._advanced:
            times.append(self._advance_at)
        try:
            async with asyncio.timeout_at(min(times, default=None)):
                await self._work.wait()
        except TimeoutError:
            pass

    async def _remove(self, entry: _Pending) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            done = await self._store.remove(entry.user_id)
        except Unavailable:
            raise
        except Exception:
            # What can't be removed of one person must not keep the others.
            if not entry.failed:
                log.exception(
                    "what a deleted person made can't be removed; trying again", position=entry.position
                )
            entry.failed, done = True, False
        if self._pending.get(entry.position) is not entry:
            return
        if done and began >= entry.settled:
            del self._pending[entry.position]
            self._room.set()
            log.info("what a deleted person made was removed", user_id=entry.user_id)
            return
        if done:
            entry.due = entry.settled
        else:
            entry.due = loop.time() + entry.pause
            entry.pause = min(entry.pause * 2, _LONGEST_PAUSE_SECONDS)
            if began - entry.learned > _LONG_SECONDS and not entry.slow:
                entry.slow = True
                log.error("what a deleted person made is still not all removed", user_id=entry.user_id)
        heapq.heapreplace(self._queue, entry)

    def _reached(self) -> int:
        return next(iter(self._pending)) - 1 if self._pending else self._read

    async def _advance(self) -> None:
        async with self._moving:
            position = self._reached()
            await self._store.advance(position)
            self._advanced = position
