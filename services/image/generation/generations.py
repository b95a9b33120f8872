"""The generations of this process: each is a task that lives on its own, and ends when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from services.capabilities.metering.meter import Meter
from services.capabilities.metering.model import UsageStatus
from services.image.errors import GenerationInterrupted, TooManyGenerations
from services.image.generation.endings import usage_event
from services.image.generation.filing import Filer
from services.image.generation.making import IndexLost, Maker, Superseded
from services.image.generation.metrics import ImageMetrics
from services.image.model import Generation, Image, State, group_of
from services.image.ports import CatalogModel, ImageStore
from services.kernel.errors import Cancelled, DeadlineExceeded, ServiceError, Unavailable
from services.kernel.failures import MASKED, Failure, failure_of
from services.kernel.ids import new_id

log = structlog.get_logger(__name__)

_FILING_SECONDS = 2.0
_LAST_SECONDS = 5.0
_MARGIN_SECONDS, _MARGIN_SHARE = 0.1, 0.05


@dataclass(slots=True)
class _Running:
    """A generation at work. `waiting` counts its callers. `settled` says that it can't be called off any more: the images are there, or its
    end is being recorded; `touched` that objects may have been written. `why` is what calling it off means to those who come to ask."""

    generation: Generation
    task: asyncio.Task[Sequence[Image]]
    waiting: int = 0
    settled: bool = False
    touched: bool = False
    why: ServiceError | None = None


@dataclass(frozen=True, slots=True)
class _End:
    """How a generation ends without images."""

    generation: Generation
    state: State
    failure: Failure
    remove: bool
    again: int = 0


class Generations:
    """Makes images for callers. Run `run` as long as the service runs; `drain` and `aclose` at the end."""

    def __init__(
        self,
        store: ImageStore,
        maker: Maker,
        filer: Filer,
        meter: Meter,
        metrics: ImageMetrics,
        *,
        owner_id: str,
        lease: timedelta,
        most: int,
        at_once: int,
    ) -> None:
        """`most` generations may be begun, of which `at_once` of each provider are made; others wait for their turn."""
        self._store = store
        self._maker = maker
        self._filer = filer
        self._meter = meter
        self._metrics = metrics
        self.owner_id = owner_id
        self.lease = lease
        self._most = most
        self._at_once = at_once
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._running: dict[str, _Running] = {}
        self._beginning: set[str] = set()
        # Ends that the database has not taken: they are tried again as long as this process lives.
        self._unended: dict[str, _End] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    @contextlib.contextmanager
    def admitted(self, generation_id: str) -> Iterator[None]:
        """A place for a generation that begins inside the block. Raises TooManyGenerations."""
        if len(self._running) + len(self._beginning) >= self._most:
            raise TooManyGenerations
        self._beginning.add(generation_id)
        try:
            yield
        finally:
            self._beginning.discard(generation_id)

    def start(self, generation: Generation, model: CatalogModel) -> None:
        """Make the images of a generation that was begun in the store. It is called off unless somebody awaits its `outcome` before
        anything else is awaited."""
        task = asyncio.create_task(self._make(generation, model), name="generation of images")
        self._running[generation.generation_id] = _Running(generation, task)
        task.add_done_callback(lambda done: self._over(generation.generation_id, done))

    def is_here(self, generation_id: str) -> bool:
        """Whether this process makes it."""
        return generation_id in self._running

    async def outcome(self, generation_id: str, end: float | None = None) -> Sequence[Image]:
        """The images of a generation of this process, for a caller who waits until `end` on the loop's clock. When nobody waits any more,
        it is called off.

        Raises what ended it, and DeadlineExceeded: ServiceErrors. Raises KeyError when it is not, or no more, made here.
        """
        running = self._running[generation_id]
        running.waiting += 1
        why: ServiceError = _called_off()
        try:
            async with asyncio.timeout_at(end):
                return await asyncio.shield(running.task)
        except TimeoutError:
            why = _late()
            raise why from None
        finally:
            running.waiting -= 1
            if not running.waiting:
                self._call_off(running, why)

    def cancel_soon(self, generation_id: str) -> None:
        """Call a generation off, if this process makes it and its images have not come back yet."""
        running = self._running.get(generation_id)
        if running is not None:
            self._call_off(running, _called_off())

    def drop(self, generation: Generation) -> None:
        """End a generation that was, or may have been, begun in the store, and that nobody waits for."""
        # `aclose` awaits it.
        _ = self._begin_end(_End(generation, State.CANCELLED, failure_of(_called_off()), remove=False))

    async def run(self) -> None:
        """Keep what this process makes its own, and end what others have left, until cancelled."""
        pause = self.lease.total_seconds() / 3
        while True:
            await asyncio.sleep(pause)
            try:
                known = {*self._running, *self._beginning, *self._unended}
                await self._store.renew(self.owner_id, self.lease, known)
                for end in list(self._unended.values()):
                    await self._end(end)
                await self.take_over()
            except ServiceError as error:
                log.debug("leases of images can't be renewed now", error=error.message)
            except Exception:
                log.exception("leases of images can't be renewed")

    async def take_over(self, *, alone: bool = False) -> None:
        """End the generations of processes that are gone; `alone`: of all others, since there can be none. Raises Unavailable."""
        for generation in await self._store.silent(100, but=self.owner_id if alone else ""):
            if self.is_here(generation.generation_id):
                # The database was away for longer than the lease, and nobody else has taken it.
                continue
            log.warning("images were not made: their server stopped", generation_id=generation.generation_id)
            failure = failure_of(GenerationInterrupted(generation.generation_id))
            await self._end(_End(generation, State.INTERRUPTED, failure, remove=True, again=1))

    async def drain(self, grace: float) -> None:
        """Let what is made come to its end within `grace` seconds; the rest is called off, and what has come back from providers is
        kept."""
        tasks = [running.task for running in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        await self._stop()

    async def aclose(self) -> None:
        """End all, whatever it takes; bounded."""
        await self._stop()
        if self._ending:
            await asyncio.wait(set(self._ending), timeout=_LAST_SECONDS)
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _stop(self) -> None:
        left = list(self._running.values())
        for running in left:
            self._call_off(running, _stopped())
        if left:
            _, late = await asyncio.wait([running.task for running in left], timeout=_LAST_SECONDS)
            # What is still being stored by then is ended by whoever takes over.
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_LAST_SECONDS)

    def _call_off(self, running: _Running, why: ServiceError) -> None:
        if not running.settled and running.why is None and not running.task.done():
            running.why = why
            running.task.cancel()

    def _over(self, generation_id: str, task: asyncio.Task[Sequence[Image]]) -> None:
        del self._running[generation_id]
        if not task.cancelled():
            # Perhaps nobody waits for it any more.
            task.exception()

    async def _make(self, generation: Generation, model: CatalogModel) -> Sequence[Image]:
        running = self._running[generation.generation_id]

        def touched() -> None:
            running.touched = True

        def arrived() -> None:
            # The images are there, and may have been paid for: they are kept, whoever is gone.
            running.settled = True

        try:
            async with self._turn(model):
                made = await self._maker.make(generation, model, touched=touched, arrived=arrived)
            images = await self._maker.keep(generation, made)
        except asyncio.CancelledError:
            error = running.why or _stopped()
            stopped = error.reason == _STOPPING
            state = (
                State.INTERRUPTED if stopped else State.FAILED if error.reason == _LATE else State.CANCELLED
            )
            await self._ended(running, state, failure_of(error))
            raise error from None
        except Superseded:
            # Whoever ended it has removed its objects, and these came later.
            with contextlib.suppress(Unavailable):
                await self._maker.remove_objects(generation)
            raise GenerationInterrupted(generation.generation_id) from None
        except ServiceError as error:
            state = State.INTERRUPTED if isinstance(error, IndexLost) else State.FAILED
            await self._ended(running, state, failure_of(error))
            raise
        except Exception:
            log.exception("images were not made", generation_id=generation.generation_id)
            await self._ended(running, State.FAILED, MASKED)
            raise
        filed = time.perf_counter()
        groups = {group_of(image.image_id, image.user_id, image.day) for image in images}
        await asyncio.gather(*(self._filer.file(group, _FILING_SECONDS) for group in groups))
        self._metrics.seconds.labels("filing").observe(time.perf_counter() - filed)
        return images

    @contextlib.asynccontextmanager
    async def _turn(self, model: CatalogModel) -> AsyncIterator[None]:
        """A turn at the model's provider; one that is slow keeps nobody from the others. Raises TooManyGenerations when it takes as long as
        an attempt may."""
        turns = self._turns.setdefault(model.provider_name, asyncio.Semaphore(self._at_once))
        came = time.perf_counter()
        try:
            async with asyncio.timeout(model.timeout):
                await turns.acquire()
        except TimeoutError:
            raise TooManyGenerations from None
        try:
            self._metrics.seconds.labels("queue").observe(time.perf_counter() - came)
            yield
        finally:
            turns.release()

    async def _ended(self, running: _Running, state: State, failure: Failure) -> None:
        """The generation has ended without images, and nobody who waits or leaves changes that any more."""
        running.settled = True
        # A write that was given up may still arrive.
        again = 1 if running.touched else 0
        end = self._begin_end(_End(running.generation, state, failure, running.touched, again))
        # Who is cancelled here has been told already, or leaves the end to its task.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(end)

    def _begin_end(self, end: _End) -> asyncio.Task[None]:
        self._unended[end.generation.generation_id] = end
        task = asyncio.create_task(self._end(end), name="ending of a generation")
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task

    async def _end(self, end: _End) -> None:
        """Have the store say that it ended without images; what can't be said now is said later."""
        generation, state, failure = end.generation, end.state, end.failure
        self._unended[generation.generation_id] = end
        status = UsageStatus.CANCELLED if state is State.CANCELLED else UsageStatus.ERROR
        reason = "" if state is State.CANCELLED else failure.reason
        event = self._meter.taken(usage_event(generation, status, reason, 0, new_id(), datetime.now(UTC)))
        try:
            ended = await self._store.end(
                generation.generation_id, state, failure, event, free=True, remove=end.remove, again=end.again
            )
        except ServiceError:
            return
        except Exception:
            log.exception("the end of a generation can't be recorded", generation_id=generation.generation_id)
            return
        self._unended.pop(generation.generation_id, None)
        if ended:
            self._meter.stored(event)
            self._filer.soon()


_STOPPING, _LATE = "SHUTTING_DOWN", "DEADLINE_EXCEEDED"


def in_time(remaining: float) -> float:
    """The seconds that images may take for a caller who waits for so long, and is to be told why when that is not enough."""
    return remaining - min(_MARGIN_SECONDS, remaining * _MARGIN_SHARE)


def _called_off() -> Cancelled:
    return Cancelled("the images were called off by their caller", reason="CANCELLED")


def _stopped() -> Unavailable:
    return Unavailable("the server is about to stop; call again", reason=_STOPPING)


def _late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "your deadline is over before the images are stored; allow more time, or call again with the same request_id",
        metadata={"stage": "generation"},
    )
