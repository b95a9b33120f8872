"""The generations of this process: each is a task that lives on its own, and ends when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, NamedTuple, TypeVar

import structlog

from services.capabilities.generations.ends import Ends
from services.capabilities.generations.errors import (
    GenerationInterrupted,
    IndexLost,
    Superseded,
    TooManyGenerations,
)
from services.capabilities.generations.model import End, G, State
from services.capabilities.generations.ports import GenerationStore
from services.kernel.errors import Cancelled, DeadlineExceeded, ServiceError, Unavailable
from services.kernel.failures import MASKED, Failure, failure_of

log = structlog.get_logger(__name__)

_LAST_SECONDS = 5.0
_MARGIN_SECONDS, _MARGIN_SHARE = 0.1, 0.05

R = TypeVar("R")


class Progress:
    """How far a generation is, as its work tells. `used` is what it has used so far, in the service's own terms: it is recorded with an end
    without a result."""

    def __init__(self) -> None:
        self.used: object = None
        self._touched = False
        self._settled = False

    @property
    def is_touched(self) -> bool:
        """Whether objects may have been written."""
        return self._touched

    @property
    def is_settled(self) -> bool:
        """Whether it can't be called off any more: what it makes is there, or its end is being recorded."""
        return self._settled

    def touched(self) -> None:
        """Objects may be written from now on: an end without a result discards them."""
        self._touched = True

    def arrived(self) -> None:
        """What is made is there, and may have been paid for: it is kept, whoever is gone."""
        self._settled = True


Work = Callable[[Progress], Awaitable[R]]
"""What makes the result of a generation, and keeps it. Raises Superseded when somebody else has ended the generation, IndexLost when it is not
known whether the result is kept, and ServiceErrors."""


class _Off(NamedTuple):
    """What it means that a generation was called off: on record, and to those who ask for it."""

    state: State
    error: ServiceError


@dataclass(slots=True)
class _Running(Generic[G, R]):
    """A generation at work. `waiting` counts its callers."""

    generation: G
    progress: Progress
    task: asyncio.Task[R]
    waiting: int = 0
    off: _Off | None = None
    ending: bool = False

    @property
    def is_open(self) -> bool:
        """Whether its result is still to be had: it was not called off, is not ending without one, and is not over."""
        return self.off is None and not self.ending and not self.task.done()

    def end(self, state: State, failure: Failure) -> End[G]:
        """Its end without a result. A write that was given up may still arrive, so what was written is discarded twice."""
        touched = self.progress.is_touched
        again = 1 if touched else 0
        return End(self.generation, state, failure, remove=touched, again=again, used=self.progress.used)


class Waiting(Generic[G, R]):
    """One who waits for a generation, from the moment on that this is made until `leave`: the last one who leaves calls it off."""

    def __init__(self, running: _Running[G, R], call_off: Callable[[_Running[G, R], _Off], None]) -> None:
        self._running = running
        self._call_off = call_off
        self._off = _Off(State.CANCELLED, _called_off())
        self._left = False
        running.waiting += 1

    async def outcome(self, end: float | None = None) -> R:
        """The result, when it is there by `end` on the loop's clock. Raises what ended the generation, and DeadlineExceeded: ServiceErrors."""
        running = self._running
        try:
            async with asyncio.timeout_at(end):
                await asyncio.wait((running.task,))
        except TimeoutError:
            self._off = _Off(State.FAILED, _late())
            raise self._off.error from None
        if running.task.cancelled():
            # It was called off before its first step.
            raise (running.off or _stopped()).error
        return running.task.result()

    def leave(self) -> None:
        """Wait no more. May be called again."""
        if not self._left:
            self._left = True
            self._running.waiting -= 1
            if not self._running.waiting:
                self._call_off(self._running, self._off)


class Generations(Generic[G, R]):
    """Does the work of generations for callers. `drain` and `aclose` at the end."""

    def __init__(
        self, store: GenerationStore[G], ends: Ends[G], *, owner_id: str, lease: timedelta, most: int
    ) -> None:
        """`most` generations may be begun at once; each is this owner's for `lease` after it was renewed."""
        self._store = store
        self._ends = ends
        self._owner_id = owner_id
        self._lease = lease
        self._most = most
        self._running: dict[str, _Running[G, R]] = {}
        self._beginning: dict[str, asyncio.Task[str | None]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def known(self) -> set[str]:
        """The ids of all that this process is at work on."""
        return {*self._running, *self._beginning, *self._ends.waiting}

    def begin(self, generation: G, digest: bytes) -> asyncio.Task[str | None]:
        """Have the store record that it runs; the task gives what `GenerationStore.begin` does, and keeps a place until then. Whoever awaits it
        shields it, and hands it to `left` when they leave. Raises TooManyGenerations."""
        if len(self._running) + len(self._beginning) >= self._most:
            raise TooManyGenerations
        begin = asyncio.create_task(
            self._store.begin(self._owner_id, self._lease, generation, digest),
            name="beginning of a generation",
        )
        self._beginning[generation.generation_id] = begin
        begin.add_done_callback(lambda _: self._beginning.pop(generation.generation_id))
        return begin

    def left(self, generation: G, begin: asyncio.Task[str | None]) -> None:
        """Nobody waits for a generation that is begun, or may have been: it is ended as soon as that is known."""

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

    def start(self, generation: G, work: Work[R]) -> None:
        """Begin the work on a generation that was begun in the store. Somebody has to await its `outcome` before anything else."""
        progress = Progress()
        task = asyncio.create_task(self._made(generation, progress, work), name="generation")
        running = self._running[generation.generation_id] = _Running(generation, progress, task)
        task.add_done_callback(lambda _: self._over(running))

    def is_here(self, generation_id: str) -> bool:
        """Whether this process is at work on it."""
        return generation_id in self._running

    def join(self, generation_id: str) -> Waiting[G, R] | None:
        """Wait for a generation that is at work here and is not ending without a result; None when there is no such. Whoever joins leaves."""
        running = self._running.get(generation_id)
        return Waiting(running, self._call_off) if running is not None and running.is_open else None

    async def outcome(self, generation_id: str, end: float | None = None) -> R:
        """The result of a generation of this process, for a caller who waits until `end` on the loop's clock. When nobody waits any more, it is
        called off.

        Raises what ended it, and DeadlineExceeded: ServiceErrors. Raises KeyError when it is not, or no more, at work here.
        """
        waiting = Waiting(self._running[generation_id], self._call_off)
        try:
            return await waiting.outcome(end)
        finally:
            waiting.leave()

    def cancel_soon(self, generation_id: str) -> None:
        """Call a generation off, if this process is at work on it and its result is not there yet."""
        running = self._running.get(generation_id)
        if running is not None:
            self._call_off(running, _Off(State.CANCELLED, _called_off()))

    async def drain(self, grace: float) -> None:
        """Let what is at work come to its end within `grace` seconds; the rest is called off, and what has come back from providers is kept."""
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

    def _call_off(self, running: _Running[G, R], off: _Off) -> None:
        if not running.progress.is_settled and running.off is None and not running.task.done():
            running.off = off
            running.task.cancel()

    def _over(self, running: _Running[G, R]) -> None:
        del self._running[running.generation.generation_id]
        if not running.task.cancelled():
            # Perhaps nobody waits for it any more.
            running.task.exception()
        elif not running.progress.is_settled:
            # A task that is cancelled before its first step never gets to say how it ended.
            off = running.off or _stopped()
            self._ends.record(running.end(off.state, failure_of(off.error)))

    async def _made(self, generation: G, progress: Progress, work: Work[R]) -> R:
        running = self._running[generation.generation_id]
        try:
            return await work(progress)
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
            log.exception("a generation failed", generation_id=generation.generation_id)
            await self._ended(running, State.FAILED, MASKED)
            raise

    async def _ended(self, running: _Running[G, R], state: State, failure: Failure) -> None:
        """The generation has ended without a result, and nobody who waits or leaves changes that any more."""
        running.ending = True
        running.progress.arrived()
        # Who is cancelled here has been told already, or leaves the end to itself.
        with contextlib.suppress(asyncio.CancelledError):
            await self._ends.recorded(running.end(state, failure))


def in_time(remaining: float) -> float:
    """The seconds that the work may take for a caller who waits for so long, and is to be told why when that is not enough."""
    return remaining - min(_MARGIN_SECONDS, remaining * _MARGIN_SHARE)


def _called_off() -> Cancelled:
    return Cancelled("this was called off", reason="CANCELLED")


def _stopped() -> _Off:
    error = Unavailable("the server is about to stop; call again", reason="SHUTTING_DOWN")
    return _Off(State.INTERRUPTED, error)


def _late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "your deadline is over before the result is stored; allow more time, or call again with the same request_id",
        metadata={"stage": "generation"},
    )
