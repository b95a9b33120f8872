"""The watching of records that other replicas write: a watch is told to the store, and growth is heard of or looked for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta

import structlog

from services.chat.model import Event, Finished, State
from services.chat.ports import RecordStore, Tails
from services.kernel.errors import ServiceError

log = structlog.get_logger(__name__)

WATCH_TTL = timedelta(seconds=6)
_RENEW_SECONDS = 2.0
_RECONNECT_SECONDS = 1.0
_FIRST_RETRY_SECONDS = 0.05
_UNWATCH_SECONDS = 2.0

# How long until the record is looked at, although nothing was announced: of one that may grow unannounced, of one that has not grown for
# a while, and of one whose growth is announced.
_POLL_SECONDS = 0.03
_IDLE_POLL_SECONDS = 0.25
_SAFETY_POLL_SECONDS = 1.0
_MOST_POLLS_PER_SECOND = 500
_IDLE_AFTER_SECONDS = 2.0
# By then the owner has renewed its lease, and knows of a watch.
_KNOWN_AFTER_SECONDS = 3.0
_HEARD_SECONDS = 5.0

ROWS_AT_ONCE = 1024
_KEPT_EVENTS = 64


class Tail:
    """The record of one generation that grows elsewhere, read once for all who follow it here."""

    def __init__(
        self, generation_id: str, records: RecordStore, pause: Callable[[Tail], float], now: float
    ) -> None:
        self.followers = 0
        # Its registration with the store.
        self.told: asyncio.Task[None] | None = None
        self.announced = False
        self.since = self.grown = now
        self.version = 0
        self._generation_id = generation_id
        self._records = records
        self._pause = pause
        self._changed = asyncio.Event()
        self._looked_at = now
        self._polled = False
        self._turn = asyncio.Lock()
        self._read_version = -1
        self._end = 0
        self._ended = False
        self._kept: Sequence[Event] = ()

    def announce(self) -> None:
        """The owner says that it has grown."""
        self.announced = True
        self._polled = False
        self._advance()

    def _advance(self) -> None:
        self.version += 1
        self._looked_at = asyncio.get_running_loop().time()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def changed(self, version: int) -> None:
        """Wait until the record may have grown since that version."""
        loop = asyncio.get_running_loop()
        while self.version == version:
            changed = self._changed
            left = self._looked_at + self._pause(self) - loop.time()
            if left <= 0:
                # For all that wait.
                self._polled = True
                self._advance()
                return
            try:
                async with asyncio.timeout(left):
                    await changed.wait()
            except TimeoutError:
                pass

    async def read(self, position: int) -> Sequence[Event] | None:
        """The events behind `position` that are on record, some of them if there are many; none as long as it has not grown, and None when
        it has ended here. Raises Unavailable."""
        async with self._turn:
            kept = [event for event in self._kept if event.first_seq > position]
            if kept and kept[0].first_seq == position + 1:
                return kept
            if position != self._end or self._read_version != self.version:
                events = await self._read(position)
                if events:
                    return events
            return None if self._ended else ()

    async def _read(self, position: int) -> Sequence[Event]:
        version, id_ = self.version, self._generation_id
        events = await self._records.events(id_, position, ROWS_AT_ONCE)
        if not events and not self._ended and await self._records.state(id_) is not State.RUNNING:
            # What was written before the end and after the events were read is read now.
            self._ended = True
            events = await self._records.events(id_, position, ROWS_AT_ONCE)
        if events and events[-1].seq > self._end:
            self._take(events)
        # Each row has a position of its own at least.
        if not events or events[-1].seq - position < ROWS_AT_ONCE:
            self._end = max(self._end, position)
            self._read_version = version
        return events

    def _take(self, events: Sequence[Event]) -> None:
        self.grown = asyncio.get_running_loop().time()
        if self._polled:
            # It was not announced, or not yet.
            self.announced = False
            if self.grown - self.since > _KNOWN_AFTER_SECONDS:
                self.since = self.grown
        self._end = events[-1].seq
        self._ended = self._ended or isinstance(events[-1].body, Finished)
        self._kept = events[-_KEPT_EVENTS:]


class RemoteTails:
    """Follows generations that other replicas make.

    A watch is registered before the first follower reads, and renewed for all of them in one step; one that is taken back is out of the way
    before the next one is registered. The store is listened to while something is followed. Growth
    is found within 30 ms until the owner announces it, and is announced from at most 3 s on; announcements that get lost delay it by a
    second. One that is followed by many is read once. `run` has to be at work.
    """

    def __init__(self, tails: Tails, records: RecordStore, watcher_id: str) -> None:
        self._store = tails
        self._records = records
        self._watcher_id = watcher_id
        self._tails: dict[str, Tail] = {}
        self._left: set[str] = set()
        self._telling: dict[str, asyncio.Task[None]] = {}
        self._taking_back = ""
        self._taken_back = asyncio.Event()
        self._untold: set[str] = set()
        self._failed = asyncio.Event()
        self._leaving = asyncio.Event()
        self._following = asyncio.Event()
        self._idle = asyncio.Event()
        self._heard_at = -math.inf
        self._draining = False

    def __len__(self) -> int:
        return len(self._tails)

    def drain(self) -> None:
        """This process is about to stop: whoever watches here is given the rest of the watch's life to go on elsewhere."""
        self._draining = True

    @asynccontextmanager
    async def following(self, generation_id: str) -> AsyncIterator[Tail]:
        """The record of a generation, watched for as long as the block runs."""
        tail = self._tails.get(generation_id)
        if tail is None:
            now = asyncio.get_running_loop().time()
            tail = self._tails[generation_id] = Tail(generation_id, self._records, self._pause, now)
            tail.told = self._tell(generation_id)
        tail.followers += 1
        self._idle.clear()
        self._following.set()
        try:
            if tail.told is not None:
                # All that follow wait for the same registration, and whoever leaves takes it from nobody.
                await asyncio.wait([tail.told])
            yield tail
        finally:
            tail.followers -= 1
            if not tail.followers:
                del self._tails[generation_id]
                self._left.add(generation_id)
                self._leaving.set()

    async def run(self) -> None:
        """Renew, take back, and listen, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._renew())
                group.create_task(self._retell())
                group.create_task(self._unwatch())
                group.create_task(self._listen())
        finally:
            for telling in list(self._telling.values()):
                telling.cancel()

    def _pause(self, tail: Tail) -> float:
        now = asyncio.get_running_loop().time()
        hears = now - self._heard_at < _HEARD_SECONDS
        if hears and (tail.announced or now - tail.since > _KNOWN_AFTER_SECONDS):
            pause = _SAFETY_POLL_SECONDS
        else:
            pause = _IDLE_POLL_SECONDS if now - tail.grown > _IDLE_AFTER_SECONDS else _POLL_SECONDS
        return max(pause, len(self._tails) / _MOST_POLLS_PER_SECOND)

    def _tell(self, generation_id: str) -> asyncio.Task[None]:
        before = self._telling.get(generation_id)
        telling = asyncio.create_task(self._register(generation_id, before), name=f"watch of {generation_id}")
        self._telling[generation_id] = telling

        def told(_: asyncio.Task[None]) -> None:
            if self._telling.get(generation_id) is telling:
                del self._telling[generation_id]

        telling.add_done_callback(told)
        return telling

    async def _register(self, generation_id: str, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        while self._taking_back == generation_id:
            await self._taken_back.wait()
        if generation_id in self._tails:
            await self._watch([generation_id])

    async def _watch(self, generation_ids: Collection[str]) -> None:
        try:
            await self._store.watch(self._watcher_id, generation_ids, WATCH_TTL)
            return
        except ServiceError as error:
            log.warning(
                "that generations are watched here could not be told; trying again", error=error.message
            )
        except Exception:
            log.exception("that generations are watched here could not be told; trying again")
        self._untold.update(generation_ids)
        self._failed.set()

    async def _retell(self) -> None:
        """Repeat what failed: soon, then less often, and no less often than all is renewed."""
        while True:
            await self._failed.wait()
            pause = _FIRST_RETRY_SECONDS
            while self._failed.is_set():
                await asyncio.sleep(pause)
                pause = min(pause * 2, _RENEW_SECONDS)
                self._failed.clear()
                untold = self._untold & self._tails.keys()
                self._untold.clear()
                if untold:
                    await self._watch(untold)

    async def _renew(self) -> None:
        while True:
            await self._following.wait()
            await asyncio.sleep(_RENEW_SECONDS)
            if not self._tails:
                self._following.clear()
                self._idle.set()
                continue
            await self._watch(list(self._tails))
            await self._call_out()

    async def _call_out(self) -> None:
        """Announce this process to itself: that it is heard says that announcements get through."""
        try:
            await self._store.announce([self._watcher_id])
        except ServiceError as error:
            log.info("announcements can't be sent now", error=error.message)
        except Exception:
            log.exception("announcements can't be sent now")

    async def _unwatch(self) -> None:
        while True:
            await self._leaving.wait()
            self._leaving.clear()
            while self._left:
                generation_id = self._left.pop()
                telling = self._telling.get(generation_id)
                if telling is not None:
                    # It would come after this, and be taken for a watch.
                    await asyncio.wait([telling])
                if self._draining or generation_id in self._tails:
                    continue
                self._taking_back = generation_id
                try:
                    async with asyncio.timeout(_UNWATCH_SECONDS):
                        await self._store.unwatch(self._watcher_id, generation_id)
                except (ServiceError, TimeoutError) as error:
                    log.info(
                        "a watch could not be taken back; it runs out",
                        error=str(error) or "no answer in time",
                    )
                except Exception:
                    log.exception("a watch could not be taken back; it runs out")
                finally:
                    self._taking_back = ""
                    self._taken_back.set()
                    self._taken_back = asyncio.Event()

    async def _listen(self) -> None:
        while True:
            await self._following.wait()
            async with asyncio.TaskGroup() as group:
                hearing = group.create_task(self._hear())
                await self._idle.wait()
                hearing.cancel()

    async def _hear(self) -> None:
        while True:
            try:
                async with aclosing(self._store.growth()) as growth:  # type: ignore[type-var]
                    async for generation_id in growth:
                        self._heard(generation_id)
                # This store can't tell.
                return
            except ServiceError as error:
                log.warning("growth of records is not announced now; looking for it", error=error.message)
            except Exception:
                log.exception("growth of records is not announced now; looking for it")
            self._heard_at = -math.inf
            await asyncio.sleep(_RECONNECT_SECONDS)

    def _heard(self, generation_id: str) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        tail = self._tails.get(generation_id)
        if tail is not None:
            tail.announce()
