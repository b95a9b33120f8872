"""What is done in the object store behind the index: records and history of images that are new, and the end of those that are gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.capabilities.blobs.ports import Blobs
from services.image.generation import history
from services.image.generation.metrics import ImageMetrics
from services.image.generation.objects import JSON, Keys, history_key, keys_of, record_json
from services.image.generation.together import together
from services.image.model import Change, Filing
from services.image.ports import ImageStore
from services.kernel.errors import ServiceError
from services.kernel.outages import Outage

log = structlog.get_logger(__name__)

# A round ends well before its lease does, so that only a process that was stopped in the middle can be at it when the next one is.
_LEASE = timedelta(seconds=30)
_ROUND_SECONDS = 20.0
_SWEEP_SECONDS = 3.0
_GROUPS_AT_ONCE = 8
# So few that all their groups are done before the lease has ended.
_SWEPT_AT_ONCE = 100
_HELD_PAUSE_SECONDS = 0.03
_LONGEST_PAUSE = timedelta(minutes=5)
# Behind this a process that was stopped in the middle of writing is hardly there any more.
_AGAIN = timedelta(minutes=10)


@dataclass(slots=True)
class _Group:
    """A group that this process is at: its task, and whoever waits for the round behind the one that is under way."""

    task: asyncio.Task[None] | None = None
    waiting: asyncio.Future[None] | None = None


class Filer:
    """Does what is to be filed. Run `run` as long as the service runs; `aclose` at the end, behind it."""

    def __init__(self, store: ImageStore, blobs: Blobs, owner_id: str, metrics: ImageMetrics) -> None:
        self._store = store
        self._blobs = blobs
        self._owner_id = owner_id
        self._metrics = metrics
        self._groups: dict[str, _Group] = {}
        self._wake = asyncio.Event()
        self._outage = Outage(
            lambda error: log.error("images can't be filed in the object store; trying again", error=error),
            lambda: log.info("images are filed again"),
        )

    async def file(self, group: str, seconds: float) -> None:
        """Have what is to be filed of a group done now; returns when that is so, or after this time: then the sweeper goes on."""
        at = self._groups.setdefault(group, _Group())
        if at.waiting is None:
            at.waiting = asyncio.get_running_loop().create_future()
        done = at.waiting
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
            taken = await self._store.take(self._owner_id, _LEASE, limit=_SWEPT_AT_ONCE)
            if not taken:
                return _SWEEP_SECONDS
            groups: dict[str, list[Filing]] = {}
            for filing in taken:
                groups.setdefault(filing.group, []).append(filing)
            turns = asyncio.Semaphore(_GROUPS_AT_ONCE)

            async def one(filings: Sequence[Filing]) -> bool:
                async with turns:
                    return await self._done(filings)

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
                    await self._round(group)
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

    async def _round(self, group: str) -> None:
        async with asyncio.timeout(_ROUND_SECONDS):
            while not (taken := await self._store.take(self._owner_id, _LEASE, group)):
                if not await self._store.waits(group):
                    return
                # Another process is at this group, and it will not be long.
                await asyncio.sleep(_HELD_PAUSE_SECONDS)
        await self._done(taken)

    async def _done(self, filings: Sequence[Filing]) -> bool:
        """Do the filings of one group, which is this process's. Whether they were done."""
        try:
            try:
                async with asyncio.timeout(_ROUND_SECONDS):
                    await self._apply(filings)
                    await self._store.filed(self._owner_id, filings, _AGAIN)
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
                await self._store.failed(self._owner_id, filings, pause)
            return False
        finally:
            # Otherwise others would wait until the lease has ended.
            with contextlib.suppress(ServiceError):
                await self._store.leave(self._owner_id, [filings[0].group])

    async def _apply(self, filings: Sequence[Filing]) -> None:
        added = [filing.image for filing in filings if filing.change is Change.ADD and filing.image]
        removed = [filing for filing in filings if filing.change is Change.REMOVE]
        # Records before lines, and lines before the end of objects: nothing points to what is not there.
        await together([self._blobs.put(keys_of(image).record, record_json(image), JSON) for image in added])
        first = filings[0]
        if first.user_id:
            key = history_key(first.user_id, first.day)
            await history.edit(self._blobs, key, added, {filing.image_id for filing in removed})
        await together([self._blobs.delete(Keys(filing.image_id, filing.day).all) for filing in removed])
