"""The generations of this process: each is a task of its own, apart from the calls that watch it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

import structlog

from services.capabilities.metering.meter import Meter
from services.chat.errors import AnswerTooLong, GenerationInterrupted
from services.chat.generation.announcing import Announcer
from services.chat.generation.audience import Audience
from services.chat.generation.endings import Outcome, ending_of
from services.chat.generation.live import LiveGeneration
from services.chat.generation.recording import EndRecorder
from services.chat.generation.routing import Candidate, Routing
from services.chat.generation.writer import LeaseHolder, RecordWriter
from services.chat.model import Delta, FinishReason, OnDisconnect, State
from services.chat.ports import Done, RecordStore, Tails
from services.kernel.errors import ResourceExhausted, ServiceError, Unavailable
from services.kernel.failures import MASKED, failure_of

log = structlog.get_logger(__name__)

_CANCEL_SECONDS = 10.0
_ABANDON_SECONDS = 5.0


class _Stop(Enum):
    """Why the reading from a provider was ended from outside."""

    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    LOST = "lost"


@dataclass(slots=True)
class _Job:
    live: LiveGeneration
    chain: Iterator[Candidate]
    on_disconnect: OnDisconnect
    grace: float
    deadline: float | None
    release: Callable[[], None]
    reading: asyncio.Task[Done] | None = None
    stop: _Stop | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one generation, and all together, may take: bytes, and how many at once."""

    max_answer_bytes: int
    max_generations: int


class Generations:
    """Makes generations, ends them, and finds them while they run."""

    def __init__(
        self,
        store: RecordStore,
        writer: RecordWriter,
        holder: LeaseHolder,
        bounds: Bounds,
        routing: Routing,
        meter: Meter,
        tails: Tails,
    ) -> None:
        self._store = store
        self._announcer = Announcer(tails)
        self._audience = Audience(tails, self._disconnected)
        self._holder = holder
        self._writer = writer
        self._bounds = bounds
        self._routing = routing
        self._recorder = EndRecorder(store, holder, meter)
        self._jobs: dict[str, _Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._beginning: set[str] = set()
        self._orphans: set[str] = set()
        self._unendable: set[str] = set()
        self._draining = False
        self._closed = False

    def __len__(self) -> int:
        return len(self._jobs)

    async def run(self) -> None:
        """Tell replicas that watch of growth, and stop what nobody watches any more, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._announcer.run())
            group.create_task(self._audience.run())

    def admit(self, beginning: int = 0) -> None:
        """Raise ResourceExhausted when this process makes as many generations as it may, `beginning` others included, Unavailable when it is
        stopping."""
        if self._draining:
            raise Unavailable("the server is stopping; try again")
        if len(self._jobs) + beginning >= self._bounds.max_generations:
            raise ResourceExhausted(
                "the server makes as many answers as it can; try again soon",
                reason="OVERLOADED",
                metadata={"queue": "generations"},
                retry_after=1.0,
            )

    @contextmanager
    def beginning(self, generation_id: str) -> Iterator[None]:
        """While the block runs, the store may have this one already, and it is no orphan."""
        self._beginning.add(generation_id)
        try:
            yield
        finally:
            self._beginning.discard(generation_id)

    def live(self, generation_id: str) -> LiveGeneration | None:
        """A generation that this process makes."""
        job = self._jobs.get(generation_id)
        return None if job is None else job.live

    def start(
        self,
        live: LiveGeneration,
        chain: Iterator[Candidate],
        on_disconnect: OnDisconnect,
        grace: timedelta,
        deadline: float | None,
        release: Callable[[], None],
    ) -> None:
        """Make a generation that has begun in the store, with the first of `chain` that answers. `deadline` is in the loop's time; None
        without one. `release` is called when what the models are asked is needed no more, maybe more than once. Raises Unavailable behind `close`: what has begun is then left to whoever takes over."""
        if self._closed:
            raise Unavailable("the server is stopping; try again")
        job = _Job(live, chain, on_disconnect, grace.total_seconds(), deadline, release)
        self._jobs[live.generation_id] = job
        live.on_watchers = lambda count: self._watchers_changed(job, count)
        live.on_lost = lambda: self._stop(job, _Stop.LOST)
        live.on_grown = lambda: self._announcer.grown(live.generation_id)
        task = asyncio.create_task(self._run(job), name=f"generation {live.generation_id}")
        self._tasks[live.generation_id] = task
        task.add_done_callback(lambda _: self._forget(live.generation_id))
        # Whoever asked may be gone before it watches.
        self._watchers_changed(job, 0)

    async def end_orphans(self) -> None:
        """End what runs in the store under this process's lease and is made by nobody: a call whose beginning failed in an unknown way may
        have been stored after all, and a take-over may have been broken off. Raises Unavailable.

        What is seen for the first time is left alone, since it may be about to start.
        """
        stored_running = set(await self._store.running(self._holder.lease))
        self._unendable &= stored_running
        running = stored_running - self._jobs.keys() - self._beginning - self._unendable
        for generation_id in running & self._orphans:
            await self.end_adopted(generation_id)
        self._orphans = running

    def _forget(self, generation_id: str) -> None:
        self._audience.returned(generation_id)
        job = self._jobs.pop(generation_id, None)
        self._tasks.pop(generation_id, None)
        if job is not None and job.live.ending is None:
            # Its task was ended before its first step.
            job.live.abandoned(ending_of(job.live, self._interrupted(job)))
        if job is not None:
            job.release()
            # The record refers to its job no more, so that both go when the last watcher goes, and need no garbage collector.
            job.live.on_watchers = job.live.on_lost = job.live.on_grown = None
            self._routing.metrics.ended(job.live)

    # -- ending from outside

    async def cancel(self, generation_id: str) -> bool:
        """Cancel a generation of this process and wait for its end, a while when the store is away.

        False when it is not of this process.
        """
        job, task = self._jobs.get(generation_id), self._tasks.get(generation_id)
        if job is None or task is None:
            return False
        self._stop(job, _Stop.CANCELLED)
        await asyncio.wait([task], timeout=_CANCEL_SECONDS)
        return True

    def cancel_soon(self, generation_id: str) -> None:
        """The same without waiting."""
        job = self._jobs.get(generation_id)
        if job is not None:
            self._stop(job, _Stop.CANCELLED)

    def interrupt_all(self) -> None:
        """This process lost its lease: whatever it makes is somebody else's now."""
        for job in list(self._jobs.values()):
            self._stop(job, _Stop.LOST)

    async def drain(self, grace: float) -> None:
        """Let generations end for `grace` seconds, then end the others as interrupted; return when all are recorded."""
        self._draining = True
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        # A call that was admitted before may begin its generation meanwhile.
        while self._tasks and (left := end - loop.time()) > 0:
            await asyncio.wait(list(self._tasks.values()), timeout=left)
        for job in list(self._jobs.values()):
            self._stop(job, _Stop.INTERRUPTED)
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=_ABANDON_SECONDS)

    async def close(self) -> None:
        """End everything at once, and begin nothing more; what could not be recorded is left to whoever takes over."""
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _stop(self, job: _Job, stop: _Stop) -> None:
        # What was lost can't be ended in any other way, not even by a caller who has cancelled it before.
        if job.stop is None or stop is _Stop.LOST:
            job.stop = stop
            if job.reading is not None:
                job.reading.cancel()

    def _watchers_changed(self, job: _Job, count: int) -> None:
        if (
            count == 0
            and job.on_disconnect is OnDisconnect.STOP
            and not self._draining
            and job.live.ending is None
        ):
            self._audience.left(job.live.generation_id, job.grace)
        else:
            self._audience.returned(job.live.generation_id)

    def _disconnected(self, generation_id: str) -> None:
        if not self._draining:
            self.cancel_soon(generation_id)

    def watched_elsewhere(self, generation_ids: Collection[str]) -> None:
        """Other replicas watch these of this process's generations, and no others."""
        self._announcer.watched(generation_ids)

    # -- making

    async def _run(self, job: _Job) -> None:
        live = job.live
        try:
            outcome = await self._read_all(job)
            await live.settled()
            self._writer.forget(live)
            if job.stop is _Stop.LOST or live.lost:
                live.abandoned(ending_of(live, self._interrupted(job)))
                # When it was the store that was lost, and not the lease, nobody else is going to end it there.
                await self._recorder.end_stored(live.generation_id)
                self._announcer.announce(live.generation_id)
            else:
                await self._recorder.record(live, ending_of(live, outcome))
        except asyncio.CancelledError:
            if live.ending is None:
                live.abandoned(ending_of(live, self._interrupted(job)))
            raise
        except Exception:
            log.exception("a generation could not be ended", generation_id=live.generation_id)
            # What is pending may be what failed.
            live.refused()
            if live.ending is None:
                live.abandoned(ending_of(live, Outcome(State.FAILED, failure=MASKED)))
            await self._recorder.end_stored(live.generation_id, MASKED)

    def _interrupted(self, job: _Job) -> Outcome:
        return Outcome(State.INTERRUPTED, failure=failure_of(GenerationInterrupted(job.live.generation_id)))

    async def _read_all(self, job: _Job) -> Outcome:
        live = job.live
        job.reading = asyncio.create_task(self._read(job), name=f"provider of {live.generation_id}")
        if job.stop is not None:
            job.reading.cancel()
        try:
            done = await job.reading
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            if job.stop is None:
                log.error("a provider cancelled itself", generation_id=live.generation_id)
                return Outcome(State.FAILED, failure=MASKED)
            if job.stop is _Stop.CANCELLED:
                return Outcome(State.CANCELLED, FinishReason.CANCELLED)
            return self._interrupted(job)
        except ServiceError as error:
            log.info(
                "a generation failed",
                generation_id=live.generation_id,
                model=live.generation.model,
                reason=error.reason,
                metadata=error.metadata,
            )
            return Outcome(State.FAILED, failure=failure_of(error))
        except Exception:
            log.exception(
                "a provider failed in a way that was not foreseen", generation_id=live.generation_id
            )
            return Outcome(State.FAILED, failure=MASKED)
        return Outcome(State.COMPLETED, done.finish_reason, usage=done.usage)

    async def _read(self, job: _Job) -> Done:
        live, writer, most = job.live, self._writer, self._bounds.max_answer_bytes

        def deliver(group: Sequence[Delta]) -> None:
            # Behind the first token nothing is asked again.
            job.release()
            live.add(group)
            writer.mark(live)
            if live.size_bytes > most:
                raise AnswerTooLong(live.generation_id, most)

        return await self._routing.answer(live, job.chain, job.deadline, deliver, lambda: writer.mark(live))

    async def end_adopted(self, generation_id: str) -> None:
        """End a generation that nobody makes any more, as interrupted. Raises Unavailable."""
        if await self._recorder.end(generation_id):
            self._announcer.announce(generation_id)
        else:
            self._unendable.add(generation_id)
