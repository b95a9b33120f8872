"""The generations of this process: each is a task of its own, apart from the calls that watch it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum

import structlog

from services.capabilities.metering.model import UsageEvent
from services.chat.errors import AnswerTooLong, GenerationInterrupted, ProviderTimeout
from services.chat.generation.endings import Outcome, ending_of, ending_of_stored, usage_event_of
from services.chat.generation.failures import failure_of
from services.chat.generation.live import LiveGeneration
from services.chat.generation.writer import LeaseHolder, RecordWriter
from services.chat.model import Ending, Failure, FinishReason, Generation, OnDisconnect, State
from services.chat.ports import CatalogModel, Done, ModelCall, RecordStore
from services.kernel.errors import Code, ResourceExhausted, ServiceError, Unavailable

log = structlog.get_logger(__name__)

_FIRST_RETRY_SECONDS = 0.05
_LONGEST_RETRY_SECONDS = 5.0
_TELL_WATCHERS_AFTER_SECONDS = 10.0
_ABANDON_SECONDS = 5.0


class _Stop(Enum):
    """Why the reading from a provider was ended from outside."""

    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    LOST = "lost"


@dataclass(slots=True)
class _Job:
    live: LiveGeneration
    model: CatalogModel
    call: ModelCall
    on_disconnect: OnDisconnect
    grace: float
    deadline: float | None
    reading: asyncio.Task[Done] | None = None
    stop: _Stop | None = None
    timer: asyncio.TimerHandle | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one generation, and all together, may take: seconds, bytes, and how many at once."""

    total_timeout: float
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
        meter: Callable[[UsageEvent], UsageEvent | None],
    ) -> None:
        self._store = store
        self._writer = writer
        self._holder = holder
        self._bounds = bounds
        self._meter = meter
        self._jobs: dict[str, _Job] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._draining = False

    def __len__(self) -> int:
        return len(self._jobs)

    def admit(self) -> None:
        """Raise ResourceExhausted when this process makes as many generations as it may, Unavailable when it is stopping."""
        if self._draining:
            raise Unavailable("the server is stopping; try again")
        if len(self._jobs) >= self._bounds.max_generations:
            raise ResourceExhausted(
                "the server makes as many answers as it can; try again soon",
                reason="OVERLOADED",
                metadata={"queue": "generations"},
                retry_after=1.0,
            )

    def live(self, generation_id: str) -> LiveGeneration | None:
        """A generation that this process makes."""
        job = self._jobs.get(generation_id)
        return None if job is None else job.live

    def start(
        self,
        live: LiveGeneration,
        model: CatalogModel,
        call: ModelCall,
        on_disconnect: OnDisconnect,
        grace: timedelta,
        deadline: float | None,
    ) -> None:
        """Make a generation that has begun in the store. `deadline` is in the loop's time; None without one."""
        job = _Job(live, model, call, on_disconnect, grace.total_seconds(), deadline)
        self._jobs[live.generation_id] = job
        live.on_watchers = lambda count: self._watchers_changed(job, count)
        live.on_lost = lambda: self._stop(job, _Stop.LOST)
        task = asyncio.create_task(self._run(job), name=f"generation {live.generation_id}")
        self._tasks[live.generation_id] = task
        task.add_done_callback(lambda _: self._forget(live.generation_id))
        # Whoever asked may be gone before it watches.
        self._watchers_changed(job, 0)

    def end_unstarted(self, generation_id: str) -> None:
        """End what may have begun in the store and is not made by anyone, as soon as the store can be reached."""
        task = asyncio.create_task(self._end_stored(generation_id), name=f"end of {generation_id}")
        self._tasks[generation_id] = task
        task.add_done_callback(lambda _: self._forget(generation_id))

    def _forget(self, generation_id: str) -> None:
        job = self._jobs.pop(generation_id, None)
        self._tasks.pop(generation_id, None)
        if job is not None and job.live.ending is None:
            # Its task was ended before its first step.
            job.live.abandoned(ending_of(job.live, self._interrupted(job)))

    # -- ending from outside

    async def cancel(self, generation_id: str) -> bool:
        """Cancel a generation of this process and wait for its end, a while when the store is away.

        False when it is not of this process.
        """
        job, task = self._jobs.get(generation_id), self._tasks.get(generation_id)
        if job is None or task is None:
            return False
        self._stop(job, _Stop.CANCELLED)
        await asyncio.wait([task], timeout=_TELL_WATCHERS_AFTER_SECONDS)
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
        """End everything at once; what could not be recorded is left to whoever takes over."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _stop(self, job: _Job, stop: _Stop) -> None:
        if job.stop is None:
            job.stop = stop
            if job.reading is not None:
                job.reading.cancel()

    def _watchers_changed(self, job: _Job, count: int) -> None:
        if job.timer is not None:
            job.timer.cancel()
            job.timer = None
        if (
            count == 0
            and job.on_disconnect is OnDisconnect.STOP
            and not self._draining
            and job.live.ending is None
        ):
            job.timer = asyncio.get_running_loop().call_later(job.grace, self._disconnected, job)

    def _disconnected(self, job: _Job) -> None:
        if not self._draining:
            self._stop(job, _Stop.CANCELLED)

    # -- making

    async def _run(self, job: _Job) -> None:
        live = job.live
        try:
            outcome = await self._read_all(job)
            await live.settled()
            self._writer.forget(live)
            if job.stop is _Stop.LOST:
                live.abandoned(ending_of(live, self._interrupted(job)))
                # When it was the store that was lost, and not the lease, nobody else is going to end it there.
                await self._end_stored(live.generation_id)
            else:
                await self._record_end(live, ending_of(live, outcome))
        except asyncio.CancelledError:
            if live.ending is None:
                live.abandoned(ending_of(live, self._interrupted(job)))
            raise
        except Exception:
            log.exception("a generation could not be ended", generation_id=live.generation_id)
            if live.ending is None:
                live.abandoned(ending_of(live, Outcome(State.FAILED, failure=_MASKED)))
            await self._end_stored(live.generation_id, _MASKED)
        finally:
            if job.timer is not None:
                job.timer.cancel()

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
                return Outcome(State.FAILED, failure=_MASKED)
            if job.stop is _Stop.CANCELLED:
                return Outcome(State.CANCELLED, FinishReason.CANCELLED)
            return self._interrupted(job)
        except ServiceError as error:
            log.info(
                "a generation failed",
                generation_id=live.generation_id,
                model=job.model.name,
                reason=error.reason,
                metadata=error.metadata,
            )
            return Outcome(State.FAILED, failure=failure_of(error))
        except Exception:
            log.exception(
                "a provider failed in a way that was not foreseen", generation_id=live.generation_id
            )
            return Outcome(State.FAILED, failure=_MASKED)
        return Outcome(State.COMPLETED, done.finish_reason, usage=done.usage)

    async def _read(self, job: _Job) -> Done:
        live, bounds = job.live, self._bounds
        loop = asyncio.get_running_loop()
        end = loop.time() + bounds.total_timeout
        try:
            async with asyncio.timeout_at(end if job.deadline is None else min(end, job.deadline)) as limit:
                async with aclosing(job.model.provider.stream(job.call)) as stream:  # type: ignore[type-var]
                    async for item in stream:
                        if isinstance(item, Done):
                            return item
                        if not item:
                            continue
                        live.add(item)
                        self._writer.mark(live)
                        if live.size_bytes > bounds.max_answer_bytes:
                            raise AnswerTooLong(live.generation_id, bounds.max_answer_bytes)
        except TimeoutError:
            if not limit.expired():
                raise
            raise ProviderTimeout(
                "the model did not finish its answer in time",
                metadata={"model": job.model.name, "provider": job.model.provider_name, "stage": "total"},
            ) from None
        raise RuntimeError("the provider ended without Done")

    # -- recording the end

    async def _record_end(self, live: LiveGeneration, ending: Ending) -> None:
        event = self._meter(usage_event_of(live.generation, ending, live.first_token_time))
        loop = asyncio.get_running_loop()
        began, pause = loop.time(), _FIRST_RETRY_SECONDS
        while True:
            try:
                kept = await self._store.finish(self._holder.lease, live.generation, ending, event)
            except ServiceError as error:
                # What was made is not given up while this process lives: the end is offered until the store takes it.
                log.warning("the end of a generation could not be written; trying again", error=error.message)
                if loop.time() - began > _TELL_WATCHERS_AFTER_SECONDS and live.ending is None:
                    live.abandoned(_unrecorded(ending))
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_RETRY_SECONDS)
                continue
            if live.ending is None:
                if kept:
                    live.ended(ending)
                else:
                    live.abandoned(_lost(live, ending))
            return

    async def end_adopted(self, generation: Generation, failure: Failure | None = None) -> None:
        """End a generation that nobody makes any more, as interrupted unless it failed. Raises Unavailable."""
        ending = ending_of_stored(generation, failure)
        event = self._meter(usage_event_of(generation, ending, None))
        if await self._store.finish(self._holder.lease, generation, ending, event):
            log.info("a generation that was left running was ended", generation_id=generation.generation_id)

    async def _end_stored(self, generation_id: str, failure: Failure | None = None) -> None:
        """End in the store, as far as it is on record there, what runs under this process's lease and is not made any more."""
        pause = _FIRST_RETRY_SECONDS
        while True:
            try:
                stored = await self._store.generation(generation_id)
                if stored is not None and stored.state is State.RUNNING:
                    await self.end_adopted(stored, failure)
            except ServiceError as error:
                log.warning("a generation could not be ended; trying again", error=error.message)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_RETRY_SECONDS)
                continue
            except Exception:
                log.exception("a generation could not be ended", generation_id=generation_id)
            return


_MASKED = Failure(Code.INTERNAL.value, "INTERNAL", "the server failed; its log knows why")


def _unrecorded(ending: Ending) -> Ending:
    error = Unavailable(
        "the end of this answer can't be recorded now; resume or read the generation again later"
    )
    return _failed(ending, State.FAILED, failure_of(error))


def _lost(live: LiveGeneration, ending: Ending) -> Ending:
    return _failed(ending, State.INTERRUPTED, failure_of(GenerationInterrupted(live.generation_id)))


def _failed(ending: Ending, state: State, failure: Failure) -> Ending:
    return replace(ending, state=state, finish_reason=None, failure=failure, last_events=())
