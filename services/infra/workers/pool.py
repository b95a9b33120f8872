"""A pool of worker processes, with a queue before it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from services.infra.workers.answers import Answers
from services.infra.workers.errors import NoWorker, PoolBusy, PoolClosed, WorkerDied, WorkerFailure
from services.infra.workers.frames import Answer
from services.infra.workers.process import Program, Worker

_log = logging.getLogger(__name__)
T = TypeVar("T")

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 10.0
_ENOUGH_FAILURES = 3
_CLOSE_SECONDS = 10.0


class WorkerPool:
    """`size` processes at most, that start when they are wanted and end after `idle_seconds` without work. `queue` jobs wait, first come,
    first served; a wait may be cancelled. Urgent ones go before all of them, in their own order, and are never too many: whoever asks for
    those bounds them. A worker that dies or is killed is replaced; when several in a row do not start, callers are told at once instead of
    waiting. `warm` of them, once `warm_up` has started them, are there also without work. `aclose` it when nobody will ask any more."""

    def __init__(
        self, program: Program, *, size: int, queue: int, idle_seconds: float = 300.0, warm: int = 0
    ) -> None:
        self._program = program
        self._queue = queue
        self._idle_seconds = idle_seconds
        self._warm = min(warm, size)
        self._free = size
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._idle: list[Worker] = []
        self._timers: dict[Worker, asyncio.TimerHandle] = {}
        self._workers: set[Worker] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failed_starts = 0
        self._next_start = 0.0
        self._closed = False

    @asynccontextmanager
    async def job(
        self, header: Mapping[str, Any], body: bytes = b"", *, urgent: bool = False
    ) -> AsyncIterator[Answers]:
        """Do a job while the block runs. Whoever leaves it early, or is cancelled in it, has the worker killed.

        Raises PoolBusy unless it is urgent, PoolClosed, NoWorker, WorkerDied and JobTimedOut, ValueError for what is too long for a frame.
        """
        await self._place(urgent)
        async with self._begun(header, body) as answers:
            yield answers

    async def ask(
        self, header: Mapping[str, Any], body: bytes = b"", *, let_finish: bool = False, urgent: bool = False
    ) -> Answer:
        """Do a job that gives one answer. Raises what `job` and its answers raise.

        When the caller is cancelled, the worker is killed; with `let_finish` it ends its job first, for nobody, and lives on, which is
        cheaper for short ones.
        """
        if not let_finish:
            async with self.job(header, body, urgent=urgent) as answers:
                return await _only(answers)
        await self._place(urgent)
        return await asyncio.shield(self._own(self._finish(header, body)))

    async def warm_up(self) -> None:
        """Start what is missing of the workers that are kept. Why one does not start is in the log; whoever wants it tries again."""
        while self._takes_a_place_to_warm():
            if not await self._replace():
                return

    async def aclose(self) -> None:
        """End the workers, whatever they do; all jobs fail with PoolClosed. Takes seconds at most."""
        self._closed = True
        for queue in (self._urgent, self._waiting):
            for waiting in queue:
                if not waiting.done():
                    waiting.set_exception(PoolClosed("the server is stopping"))
            queue.clear()
        for worker in list(self._workers):
            self._bury(worker)
        until = asyncio.get_running_loop().time() + _CLOSE_SECONDS
        # Those that end now may have others to bury.
        while self._tasks and (left := until - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        late = list(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _finish(self, header: Mapping[str, Any], body: bytes) -> Answer:
        async with self._begun(header, body) as answers:
            return await _only(answers)

    @asynccontextmanager
    async def _begun(self, header: Mapping[str, Any], body: bytes) -> AsyncIterator[Answers]:
        """A job of whoever has a place, which is given back."""
        worker: Worker | None = None
        try:
            worker = await self._worker()
            await worker.begin(header, body)
            answers = Answers(worker)
            try:
                yield answers
            finally:
                answers.close()
        except WorkerDied:
            # Not by what it did.
            self._look_open()
            raise
        finally:
            self._release(worker)

    def _look_open(self) -> None:
        if self._closed:
            raise PoolClosed("the server is stopping")

    # -- places: as many jobs are at work as there may be workers

    async def _place(self, urgent: bool) -> None:
        self._look_open()
        if self._free:
            self._free -= 1
            return
        if not urgent and len(self._waiting) >= self._queue:
            raise PoolBusy(f"{self._queue} jobs wait already")
        queue = self._urgent if urgent else self._waiting
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._vacate()
            elif turn in queue:
                queue.remove(turn)
            raise

    def _vacate(self) -> None:
        for queue in (self._urgent, self._waiting):
            while queue:
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        self._free += 1

    # -- workers: whoever has a place has one

    async def _worker(self) -> Worker:
        while self._idle:
            worker = self._idle[-1]
            self._wake(worker)
            if worker.alive:
                return worker
            self._bury(worker)
        return await self._started()

    async def _started(self) -> Worker:
        loop = asyncio.get_running_loop()
        while True:
            self._look_open()
            pause = self._next_start - loop.time()
            if pause > 0:
                if self._failed_starts >= _ENOUGH_FAILURES:
                    raise NoWorker("workers do not start; the log says why")
                await asyncio.sleep(pause)
                continue
            try:
                worker = await self._start()
            except WorkerDied as error:
                self._look_open()
                self._failed_starts += 1
                longer = _FIRST_PAUSE * 2.0 ** min(self._failed_starts, 10)
                self._next_start = loop.time() + min(longer, _LONGEST_PAUSE)
                _log.warning("A worker did not start: %s", error)
                if self._failed_starts >= _ENOUGH_FAILURES:
                    raise NoWorker("workers do not start; the log says why") from error
                continue
            self._failed_starts = 0
            return worker

    async def _start(self) -> Worker:
        worker = Worker(self._program)
        self._workers.add(worker)
        try:
            await worker.settle()
        except BaseException:
            self._bury(worker)
            raise
        return worker

    def _release(self, worker: Worker | None) -> None:
        """Give back a place, and the worker if it can be used again; it is replaced otherwise."""
        if worker is not None and worker.alive and not self._closed:
            self._rest(worker)
        elif worker is not None:
            self._bury(worker)
            if not self._closed:
                _ = self._own(self._replace())
                return
        self._vacate()

    async def _replace(self) -> bool:
        """The place stays taken until its new worker is ready, so that the next job does not meet a cold one while others are warm."""
        try:
            self._rest(await self._started())
        except WorkerFailure:
            # The next job tries again, and is told.
            return False
        finally:
            self._vacate()
        return True

    def _takes_a_place_to_warm(self) -> bool:
        if self._closed or not self._free or len(self._workers) >= self._warm:
            return False
        self._free -= 1
        return True

    def _rest(self, worker: Worker) -> None:
        self._idle.append(worker)
        loop = asyncio.get_running_loop()
        self._timers[worker] = loop.call_later(self._idle_seconds, self._retire, worker)
        worker.watch(partial(self._ended_at_rest, worker))

    def _wake(self, worker: Worker) -> None:
        self._idle.remove(worker)
        self._timers.pop(worker).cancel()

    def _ended_at_rest(self, worker: Worker) -> None:
        if worker in self._idle:
            self._wake(worker)
        self._bury(worker)
        if self._takes_a_place_to_warm():
            _ = self._own(self._replace())

    def _retire(self, worker: Worker) -> None:
        if len(self._workers) <= self._warm:
            # It stays; once a new one has to start beside it, it has worked again and comes here again.
            return
        self._wake(worker)
        self._workers.discard(worker)
        worker.dismiss()
        _ = self._own(worker.ended())

    def _bury(self, worker: Worker) -> None:
        if worker in self._workers:
            self._workers.discard(worker)
            worker.kill()
            _ = self._own(worker.ended())

    def _own(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """`aclose` waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Whoever asked is told; where that one has gone away, nobody is.
            task.exception()


async def _only(answers: Answers) -> Answer:
    """The one answer of a job."""
    found = [answer async for answer in answers]
    if len(found) != 1:
        raise WorkerDied(f"a worker gave {len(found)} answers where one was asked for")
    return found[0]
