"""The generations of this process: each is a task that lives on its own, and ends when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
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


@dataclass(slots=True)
class _Running:
    """A generation at work. `waiting` counts its callers; `keeping` says that it can't be called off any more; `stopping` that the server ends it."""

    generation: Generation
    task: asyncio.Task[Sequence[Image]]
    waiting: int = 0
    keeping: bool = False
    stopping: bool = False


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
        """`most` generations may be begun, of which `at_once` are made; others wait for their turn."""
        self._store = store
        self._maker = maker
        self._filer = filer
        self._meter = meter
        self._metrics = metrics
        self.owner_id = owner_id
        self.lease = lease
        self._most = most
        self._turns = asyncio.Semaphore(at_once)
        self._running: dict[str, _Running] = {}
        self._beginning = 0
        # Ends that the database has not taken yet: they are tried again as long as this process lives.
        self._unended: dict[str, tuple[Generation, State, Failure]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._running)

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """A place for a generation that begins inside the block. Raises TooManyGenerations."""
        if len(self._running) + self._beginning >= self._most:
            raise TooManyGenerations
        self._beginning += 1
        try:
            yield
        finally:
            self._beginning -= 1

    def start(self, generation: Generation, model: CatalogModel, end: float | None) -> None:
        """Make the images of a generation that was begun in the store; `end` is when its caller's time is over, on the loop's clock. It is called off
        unless somebody awaits its `outcome` before anything else is awaited."""
        task = asyncio.create_task(self._make(generation, model, end), name="generation of images")
        self._running[generation.generation_id] = _Running(generation, task)
        task.add_done_callback(lambda done: self._over(generation.generation_id, done))

    def is_here(self, generation_id: str) -> bool:
        """Whether this process makes it."""
        return generation_id in self._running

    async def outcome(self, generation_id: str) -> Sequence[Image]:
        """The images of a generation of this process. When all of those who wait are cancelled, it is called off.

        Raises what ended it: ServiceErrors. Raises KeyError when it is not, or no more, made here.
        """
        running = self._running[generation_id]
        running.waiting += 1
        try:
            return await asyncio.shield(running.task)
        finally:
            running.waiting -= 1
            if not running.waiting and not running.task.done():
                self._call_off(running)

    def cancel_soon(self, generation_id: str) -> None:
        """Call a generation off, if this process makes it and has not begun to keep what came of it."""
        running = self._running.get(generation_id)
        if running is not None:
            self._call_off(running)

    def drop(self, generation: Generation) -> None:
        """End a generation that was begun in the store and that nobody waits for any more."""
        task = asyncio.create_task(
            self._end(generation, State.CANCELLED, failure_of(_called_off()), remove=False),
            name="ending of a generation",
        )
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def run(self) -> None:
        """Keep what this process makes its own, and end what others have left, until cancelled."""
        pause = self.lease.total_seconds() / 3
        while True:
            await asyncio.sleep(pause)
            try:
                await self._store.renew(self.owner_id, self.lease)
                for generation, state, failure in list(self._unended.values()):
                    await self._end(generation, state, failure)
                await self.take_over()
            except ServiceError as error:
                log.debug("leases of images can't be renewed now", error=error.message)
            except Exception:
                log.exception("leases of images can't be renewed")

    async def take_over(self, *, alone: bool = False) -> None:
        """End the generations of processes that are gone; `alone`: of all others, since there can be none. Raises Unavailable."""
        for generation in await self._store.silent(100, but=self.owner_id if alone else ""):
            log.warning("images were not made: their server stopped", generation_id=generation.generation_id)
            failure = failure_of(GenerationInterrupted(generation.generation_id))
            await self._end(generation, State.INTERRUPTED, failure, again=1)
        self._filer.soon()

    async def drain(self, grace: float) -> None:
        """Let what is made come to its end within `grace` seconds; the rest is called off, and what has come back from providers is kept."""
        tasks = [running.task for running in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        await self._stop()

    async def aclose(self) -> None:
        """End all, whatever it takes; bounded."""
        await self._stop()
        if self._ending:
            await asyncio.wait(set(self._ending), timeout=_LAST_SECONDS)

    async def _stop(self) -> None:
        left = list(self._running.values())
        for running in left:
            running.stopping = True
            self._call_off(running)
        if left:
            _, late = await asyncio.wait([running.task for running in left], timeout=_LAST_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_LAST_SECONDS)

    def _call_off(self, running: _Running) -> None:
        if not running.keeping:
            running.task.cancel()

    def _over(self, generation_id: str, task: asyncio.Task[Sequence[Image]]) -> None:
        del self._running[generation_id]
        if not task.cancelled():
            # Perhaps nobody waits for it any more.
            task.exception()

    async def _make(self, generation: Generation, model: CatalogModel, end: float | None) -> Sequence[Image]:
        running = self._running[generation.generation_id]
        try:
            async with contextlib.AsyncExitStack() as turn:
                try:
                    async with asyncio.timeout_at(end):
                        await self._take_turn(turn)
                        made = await self._maker.make(generation, model)
                except TimeoutError:
                    raise _late() from None
                # From here on nobody calls it off: the images are there, and may have been paid for.
                running.keeping = True
                images = await self._maker.keep(generation, made)
        except asyncio.CancelledError:
            error: ServiceError = _stopped() if running.stopping else _called_off()
            state = State.INTERRUPTED if running.stopping else State.CANCELLED
            await self._end(generation, state, failure_of(error), remove=running.keeping)
            raise error from None
        except Superseded:
            # Whoever ended it has removed its objects, and these came later.
            with contextlib.suppress(Unavailable):
                await self._maker.remove_objects(generation)
            raise GenerationInterrupted(generation.generation_id) from None
        except ServiceError as error:
            state = State.INTERRUPTED if isinstance(error, IndexLost) else State.FAILED
            await self._end(generation, state, failure_of(error), remove=running.keeping)
            raise
        except Exception:
            log.exception("images were not made", generation_id=generation.generation_id)
            await self._end(generation, State.FAILED, MASKED, remove=running.keeping)
            raise
        filed = time.perf_counter()
        groups = {group_of(image.image_id, image.user_id, image.day) for image in images}
        await asyncio.gather(*(self._filer.file(group, _FILING_SECONDS) for group in groups))
        self._metrics.seconds.labels("filing").observe(time.perf_counter() - filed)
        return images

    async def _take_turn(self, turn: contextlib.AsyncExitStack) -> None:
        came = time.perf_counter()
        await turn.enter_async_context(self._turns)
        self._metrics.seconds.labels("queue").observe(time.perf_counter() - came)

    async def _end(
        self, generation: Generation, state: State, failure: Failure, *, remove: bool = True, again: int = 0
    ) -> None:
        """Have the store say that it ended without images; what can't be said now is said later."""
        status = UsageStatus.CANCELLED if state is State.CANCELLED else UsageStatus.ERROR
        reason = "" if state is State.CANCELLED else failure.reason
        event = self._meter.taken(usage_event(generation, status, reason, 0, new_id(), datetime.now(UTC)))
        try:
            ended = await self._store.end(
                generation.generation_id, state, failure, event, free=True, remove=remove, again=again
            )
        except Unavailable:
            self._unended[generation.generation_id] = (generation, state, failure)
            return
        self._unended.pop(generation.generation_id, None)
        if ended:
            self._meter.stored(event)
            self._filer.soon()


def _called_off() -> Cancelled:
    return Cancelled("the images were called off by their caller", reason="CANCELLED")


def _stopped() -> Unavailable:
    return Unavailable("the server is about to stop; call again", reason="SHUTTING_DOWN")


def _late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "your deadline is over before the images are made; allow more time", metadata={"stage": "generation"}
    )
