"""`speech.ports.Speaker` by espeak-ng in worker processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec

from services.infra.workers.errors import WorkerFailure
from services.kernel.errors import Unavailable
from services.speech.errors import EngineBusy, EngineStopped
from services.speech.model import Batch, Ending, Voice
from services.speech.ports import Task
from services.speech.providers.messages import task_body, told_by, voices_of
from services.speech.providers.studio import QUEUE, speech_workers, translated

RATES = (0.5, 2.5)
"""The least and the largest factor that it takes; beyond, espeak-ng keeps to a slowest and a fastest pace."""
PITCHES = (-9.0, 10.0)
"""The same in semitones; beyond, its range does not go as far as its pitch."""

_LONG = 5000


def installed() -> bool:
    """Whether the engine is there: it is an extra of its own, `antiphon[espeak]`."""
    return find_spec("espeakng_loader") is not None


class EspeakSpeaker:
    """`speech.ports.Speaker`, with at most `workers` processes, which take the texts first come, first served. Where there are several, long
    texts leave one of them to short ones. `aclose` it when nobody will ask any more."""

    def __init__(self, *, workers: int, queue: int = QUEUE) -> None:
        """At most `queue` texts wait, and as many long ones before those."""
        self._pool = speech_workers(workers, queue, warm=1)
        self._long = asyncio.Semaphore(max(1, workers - 1))
        self._longs_waiting = 0
        self._most_waiting = queue
        self._asking = asyncio.Lock()
        self._voices: Sequence[Voice] | None = None

    async def speak(self, task: Task) -> AsyncIterator[Batch | Ending]:
        """See `speech.ports.Speaker`."""
        ending: Ending | None = None
        try:
            async with self._turn(task), self._pool.job({"job": "speak"}, task_body(task)) as answers:
                async for answer in answers:
                    told = told_by(answer)
                    if isinstance(told, Ending):
                        ending = told
                    else:
                        yield told
        except WorkerFailure as error:
            raise translated(error) from error
        if ending is None:
            raise EngineStopped
        # The worker is somebody else's by now: who has read this does not read on.
        yield ending

    async def voices(self) -> Sequence[Voice]:
        """See `speech.ports.Speaker`."""
        async with self._asking:
            if self._voices is None:
                try:
                    answer = await self._pool.ask({"job": "voices"}, let_finish=True, urgent=True)
                except WorkerFailure as error:
                    raise Unavailable(
                        "the engine does not tell its voices at the moment; try again"
                    ) from error
                self._voices = voices_of(answer.body)
            return self._voices

    async def warm_up(self) -> None:
        """Start the worker that is kept. Why it does not start is in the log."""
        await self._pool.warm_up()

    async def aclose(self) -> None:
        """End the workers, whatever they do."""
        await self._pool.aclose()

    @asynccontextmanager
    async def _turn(self, task: Task) -> AsyncIterator[None]:
        """Of a long text among the long ones."""
        if sum(len(segment.text) for segment in task.segments) <= _LONG:
            yield
            return
        if self._longs_waiting >= self._most_waiting:
            raise EngineBusy
        self._longs_waiting += 1
        try:
            await self._long.acquire()
        finally:
            self._longs_waiting -= 1
        try:
            yield
        finally:
            self._long.release()
