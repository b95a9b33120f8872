"""The generations of this process: each is a task that lives on its own, and ends when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import structlog

from services.image.errors import GenerationInterrupted, TooManyGenerations
from services.image.generation.ends import End, Ends
from services.image.generation.filing import Filer
from services.image.generation.making import IndexLost, Maker, Superseded
from services.image.generation.metrics import ImageMetrics
from services.image.model import Generation, Image, State, group_of
from services.image.ports import CatalogModel, ImageStore
from services.kernel.errors import Cancelled, DeadlineExceeded, ServiceError, Unavailable
from services.kernel.failures import MASKED, Failure, failure_of

log = structlog.get_logger(__name__)

_FILING_SECONDS = 2.0
_LAST_SECONDS = 5.0
_MARGIN_SECONDS, _MARGIN_SHARE = 0.1, 0.05


class _Off(NamedTuple):
    """What it means that a generation was called off: on record, and to those who ask for it."""

    state: State
    error: ServiceError


@dataclass(slots=True)
class _Running:
    """A generation at work. `waiting` counts its callers. `settled` says that it can't be called off any more: the images are there, or its end
    is being recorded; `touched` that objects may have been written."""

    generation: Generation
    task: asyncio.Task[Sequence[Image]]
    waiting: int = 0
    settled: bool = False
    touched: bool = False
    off: _Off | None = None

    def end(self, state: State, failure: Failure) -> End:
        """Its end without images. A write that was given up may still arrive, so what was written is discarded twice."""
        return End(self.generation, state, failure, remove=self.touched, again=1 if self.touched else 0)


class Generations:
    """Makes images for callers. `drain` and `aclose` at the end."""

    def __init__(
        self,
        store: ImageStore,
        maker: Maker,
        filer: Filer,
        ends: Ends,
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
        self._ends = ends
        self._metrics = metrics
        self._owner_id = owner_id
        self._lease = lease
        self._most = most
        self._at_once = at_once
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._running: dict[str, _Running] = {}
        self._beginning: dict[str, asyncio.Task[str | None]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def known(self) -> set[str]:
        """The ids of all that this process is at work on."""
        return {*self._running, *self._beginning, *self._ends.waiting}

    def begin(self, generation: Generation, digest: bytes) -> asyncio.Task[str | None]:
        """Have the store record that it runs; the task gives what `ImageStore.begin` does, and keeps a place until then. Whoever awaits it shields
        it, and hands it to `left` when they leave. Raises TooManyGenerations."""
        if len(self._running) + len(self._beginning) >= self._most:
            raise TooManyGenerations
        begin = asyncio.create_task(
            self._store.begin(self._owner_id, self._lease, generation, digest),
            name="beginning of a generation",
        )
        self._beginning[generation.generation_id] = begin
        begin.add_done_callback(lambda _: self._beginning.pop(generation.generation_id))
        return begin

    def left(self, generation: Generation, begin: asyncio.Task[str | None]) -> None:
        """Nobody waits for the images of a generation that is begun, or may have been: it is ended as soon as that is known."""

        def ended(begin: asyncio.Task[str | None]) -> None:
            error = None if begin.cancelled() else begin.exception()
            # The store may have it although it did not say so.
            unsure = begin.cancelled() or isinstance(error, Unavailable)
            if unsure or (error is None and begin.result() is None):
                self._ends.try_once(End(generation, State.CANCELLED, failure_of(_called_off()), remove=False))

        if begin.done():
            ended(begin)
        else:
            begin.add_done_callback(ended)

    def start(self, generation: Generation, model: CatalogModel) -> None:
        """Make the images of a generation that was begun in the store. Somebody has to await its `outcome` before anything else."""
        task = asyncio.create_task(self._make(generation, model), name="generation of images")
        running = self._running[generation.generation_id] = _Running(generation, task)
        task.add_done_callback(lambda _: self._over(running))

    def is_here(self, generation_id: str) -> bool:
        """Whether this process makes it."""
        return generation_id in self._running

    async def outcome(self, generation_id: str, end: float | None = None) -> Sequence[Image]:
        """The images of a generation of this process, for a caller who waits until `end` on the loop's clock. When nobody waits any more, it is
        called off.

        Raises what ended it, and DeadlineExceeded: ServiceErrors. Raises KeyError when it is not, or no more, made here.
        """
        running = self._running[generation_id]
        running.waiting += 1
        off = _Off(State.CANCELLED, _called_off())
        try:
            async with asyncio.timeout_at(end):
                await asyncio.wait((running.task,))
        except TimeoutError:
            off = _Off(State.FAILED, _late())
            raise off.error from None
        finally:
            running.waiting -= 1
            if not running.waiting:
                self._call_off(running, off)
        if running.task.cancelled():
            # It was called off before its first step.
            raise (running.off or _stopped()).error
        return running.task.result()

    def cancel_soon(self, generation_id: str) -> None:
        """Call a generation off, if this process makes it and its images have not come back yet."""
        running = self._running.get(generation_id)
        if running is not None:
            self._call_off(running, _Off(State.CANCELLED, _called_off()))

    async def drain(self, grace: float) -> None:
        """Let what is made come to its end within `grace` seconds; the rest is called off, and what has come back from providers is kept."""
        tasks = [running.task for running in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        await self._stop()

    async def aclose(self) -> None:
        """End all, whatever it takes; bounded."""
        await self._stop()
        if self._beginning:
            await asyncio.wait(set(self._beginning.values()), timeout=_LAST_SECONDS)
            # What is done behind them is begun by then.
            await asyncio.sleep(0)

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

    def _call_off(self, running: _Running, off: _Off) -> None:
        if not running.settled and running.off is None and not running.task.done():
            running.off = off
            running.task.cancel()

    def _over(self, running: _Running) -> None:
        del self._running[running.generation.generation_id]
        if not running.task.cancelled():
            # Perhaps nobody waits for it any more.
            running.task.exception()
        elif not running.settled:
            # A task that is cancelled before its first step never gets to say how it ended.
            off = running.off or _stopped()
            self._ends.record(running.end(off.state, failure_of(off.error)))

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
            off = running.off or _stopped()
            await self._ended(running, off.state, failure_of(off.error))
            raise off.error from None
        except Superseded:
            # Whoever ended it has discarded its objects, and these came later.
            self._ends.discard(generation.generation_id)
            raise GenerationInterrupted(generation.generation_id) from None
        except ServiceError as error:
            state = State.INTERRUPTED if isinstance(error, IndexLost) else State.FAILED
            await self._ended(running, state, failure_of(error))
            raise
        except Exception:
            log.exception("images were not made", generation_id=generation.generation_id)
            await self._ended(running, State.FAILED, MASKED)
            raise
        began = time.perf_counter()
        groups = {group_of(image.image_id, image.user_id, image.day) for image in images}
        await asyncio.gather(*(self._filer.file(group, _FILING_SECONDS) for group in groups))
        self._metrics.seconds.labels("filing").observe(time.perf_counter() - began)
        return images

    @contextlib.asynccontextmanager
    async def _turn(self, model: CatalogModel) -> AsyncIterator[None]:
        """A turn at the model's provider; one that is slow keeps nobody from the others. Raises TooManyGenerations when it takes as long as an
        attempt may."""
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
        # Who is cancelled here has been told already, or leaves the end to itself.
        with contextlib.suppress(asyncio.CancelledError):
            await self._ends.recorded(running.end(state, failure))


def in_time(remaining: float) -> float:
    """The seconds that images may take for a caller who waits for so long, and is to be told why when that is not enough."""
    return remaining - min(_MARGIN_SECONDS, remaining * _MARGIN_SHARE)


def _called_off() -> Cancelled:
    return Cancelled("the images were called off", reason="CANCELLED")


def _stopped() -> _Off:
    error = Unavailable("the server is about to stop; call again", reason="SHUTTING_DOWN")
    return _Off(State.INTERRUPTED, error)


def _late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "your deadline is over before the images are stored; allow more time, or call again with the same request_id",
        metadata={"stage": "generation"},
    )
