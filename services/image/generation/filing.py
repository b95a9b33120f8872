"""What is done in the object store behind the index: records and history of images that are new, and the end of those that are gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

import structlog

from services.capabilities.blobs.ports import Blobs
from services.image.generation import history
from services.image.generation.metrics import ImageMetrics
from services.image.generation.objects import JSON, Keys, history_key, keys_of, record_json
from services.image.model import Change, Filing
from services.image.ports import ImageStore
from services.kernel.errors import ServiceError
from services.kernel.ids import new_id
from services.kernel.outages import Outage
from services.kernel.together import together

log = structlog.get_logger(__name__)

# A group is begun soon after it was taken or not at all, and is done well before its lease ends: so only a process that was stopped in the
# middle can be at it when the next one is.
_LEASE = timedelta(seconds=30)
_BEGIN_SECONDS = 6.0
_ROUND_SECONDS = 20.0
_SWEEP_SECONDS = 3.0
_GROUPS_AT_ONCE = 8
_SWEPT_AT_ONCE = 100
_HELD_PAUSE_SECONDS, _LONGEST_HELD_PAUSE_SECONDS = 0.03, 0.5
_LONGEST_PAUSE = timedelta(minutes=5)
# Behind this a process that was stopped in the middle of writing is hardly there any more.
_AGAIN = timedelta(minutes=10)
_FULL_KNOWN = 100


@dataclass(slots=True)
class _Group:
    """A group that this process is at: its task, whoever waits for the round behind the one that is under way, and until when, on the
    monotonic clock."""

    task: asyncio.Task[None] | None = None
    waiting: asyncio.Future[None] | None = None
    until: float = 0.0


class Filer:
    """Does what is to be filed. Run `run` as long as the service runs; `aclose` at the end, behind it."""

    def __init__(self, store: ImageStore, blobs: Blobs, metrics: ImageMetrics) -> None:
        self._store = store
        self._blobs = blobs
        self._metrics = metrics
        self._groups: dict[str, _Group] = {}
        self._wake = asyncio.Event()
        self._outage = Outage(
            lambda error: log.error("images can't be filed in the object store; trying again", error=error),
            lambda: log.info("images are filed again"),
        )
        # The histories of which it was told last that they are full.
        self._full: deque[str] = deque(maxlen=_FULL_KNOWN)

    async def file(self, group: str, seconds: float) -> None:
        """Have what is to be filed of a group done now; returns when that is so, or after this time: then the sweeper goes on."""
        at = self._groups.setdefault(group, _Group())
        if at.waiting is None:
            at.waiting = asyncio.get_running_loop().create_future()
        done, at.until = at.waiting, max(at.until, monotonic() + seconds)
        if at.task is None:
            at.task = asyncio.create_task(self._rounds(group, at), name="filing of images")
        await asyncio.wait((done,), timeout=seconds)

    def soon(self) -> None:
        """Something is due: the sweeper is not to wait."""
        self._wake.set()

    async def run(self) -> None:
        """Sweep until cancelled: what others left is done, and what failed is tried again."""
        pause = _SWEEP_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            self._wake.clear()
            pause = await self._swept()

    async def aclose(self) -> None:
        """End the rounds that are under way; what they had not done stays to be done."""
        tasks = [group.task for group in self._groups.values() if group.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _swept(self) -> float:
        """Do what is due, whoever it is of. Returns for how long there is nothing to do."""
        try:
            self._metrics.unfiled.set(await self._store.unfiled())
            lease_id, latest = new_id(), monotonic() + _BEGIN_SECONDS
            taken = await self._store.take(lease_id, _LEASE, limit=_SWEPT_AT_ONCE)
            if not taken:
                return _SWEEP_SECONDS
            groups: dict[str, list[Filing]] = {}
            for filing in taken:
                groups.setdefault(filing.group, []).append(filing)
            turns = asyncio.Semaphore(_GROUPS_AT_ONCE)

            async def one(filings: Sequence[Filing]) -> bool:
                async with turns:
                    if monotonic() <= latest:
                        return await self._done(lease_id, filings)
                    # It is taken anew, by this process or another.
                    await self._leave(lease_id, filings[0].group)
                    return True

            # Their failures are told by what they return.
            async with asyncio.TaskGroup() as tasks:
                works = [tasks.create_task(one(filings)) for filings in groups.values()]
            return 0.0 if all(work.result() for work in works) else _SWEEP_SECONDS
        except ServiceError as error:
            return self._outage.pause(error.message)
        except Exception:
            log.exception("images can't be filed")
            return _SWEEP_SECONDS

    async def _rounds(self, group: str, at: _Group) -> None:
        """Rounds of a group, until nobody waits for another one."""
        try:
            while at.waiting is not None:
                done, at.waiting = at.waiting, None
                try:
                    await self._round(group, at.until)
                except ServiceError as error:
                    # The sweeper goes on, and says so when it has reason to.
                    log.debug("an image can't be filed now", error=error.message)
                except Exception:
                    log.exception("an image can't be filed")
                finally:
                    if not done.done():
                        done.set_result(None)
        finally:
            # Between this and the last look nothing was awaited: nobody can have come to wait.
            self._groups.pop(group, None)

    async def _round(self, group: str, until: float) -> None:
        """Do a group's filings once nobody else is at it; when that is not so by then, the sweeper does what the others leave."""
        lease_id, pause = new_id(), _HELD_PAUSE_SECONDS
        while not (taken := await self._store.take(lease_id, _LEASE, group)):
            left = until - monotonic()
            if left <= 0 or not await self._store.waits(group):
                return
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 2, _LONGEST_HELD_PAUSE_SECONDS)
        await self._done(lease_id, taken)

    async def _done(self, lease_id: str, filings: Sequence[Filing]) -> bool:
        """Do the filings of one group under this lease. Whether they were done."""
        try:
            try:
                async with asyncio.timeout(_ROUND_SECONDS):
                    await self._apply(filings)
                    await self._store.filed(filings, _AGAIN)
                self._outage.over()
                return True
            except TimeoutError:
                self._outage.pause("the object store takes too long")
            except ServiceError as error:
                self._outage.pause(error.message)
            except Exception:
                # What is wrong with these must not keep the others.
                log.exception("images can't be filed", image_id=filings[0].image_id)
            attempts = max(filing.attempts for filing in filings)
            pause = min(_LONGEST_PAUSE, timedelta(seconds=2 ** min(attempts, 10)))
            with contextlib.suppress(ServiceError):
                await self._store.failed(filings, pause)
            return False
        finally:
            await self._leave(lease_id, filings[0].group)

    async def _leave(self, lease_id: str, group: str) -> None:
        # Otherwise others would wait until the lease has ended.
        with contextlib.suppress(ServiceError):
            await self._store.leave(lease_id, [group])

    async def _apply(self, filings: Sequence[Filing]) -> None:
        added = [filing.image for filing in filings if filing.change is Change.ADD and filing.image]
        removed = [filing for filing in filings if filing.change is Change.REMOVE]
        discarded = [filing for filing in filings if filing.change is Change.DISCARD]
        # Records before lines, and lines before the end of objects: nothing points to what is not there.
        await together([self._blobs.put(keys_of(image).record, record_json(image), JSON) for image in added])
        first = filings[0]
        if first.user_id:
            key = history_key(first.user_id, first.day)
            left_out = await history.edit(
                self._blobs, key, added, {filing.image_id for filing in removed}, history.LARGEST_BYTES
            )
            self._tell_full(key, left_out)
        await together([self._blobs.delete(Keys(filing.image_id, filing.day).all) for filing in removed])
        await together([self._discard(Keys(filing.image_id, filing.day)) for filing in discarded])

    async def _discard(self, keys: Keys) -> None:
        """Remove what a generation has left that ended without images. What has a record was in the index: the index does not know it any
        more."""
        async with self._blobs.open(keys.record) as record:
            known = record is not None
        if known and await self._store.image(keys.image_id) is not None:
            # It was put into the index again.
            return
        if known:
            log.error(
                "an image that is complete is missing in the index, as after its restore from a backup; run `antiphon image reindex`",
                image_id=keys.image_id,
            )
        else:
            await self._blobs.delete(keys.all)

    def _tell_full(self, key: str, left_out: int) -> None:
        if not left_out:
            return
        self._metrics.left_out.inc(left_out)
        if key not in self._full:
            self._full.append(key)
            log.warning("the history of a day is full: images have no line in it any more", key=key)
