"""Workers that speak and that work on audio, and `speech.ports.Studio` by them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.infra.workers.answers import Answers
from services.infra.workers.errors import JobRefused, NoWorker, PoolBusy, PoolClosed, WorkerFailure
from services.infra.workers.pool import WorkerPool
from services.infra.workers.process import Program, module
from services.kernel.errors import Unavailable
from services.speech.errors import AudioUnusable, EngineBusy, EngineStopped
from services.speech.model import Batch, Ending, Format
from services.speech.providers.messages import told_by

_PROGRAM = "services.speech.providers.worker"
QUEUE = 256
"""How many texts or files wait for a worker."""
# Two hours of Opus take a minute; nothing that gives one batch takes seconds.
_JOB_SECONDS = 1800.0
_STEP_SECONDS = 60.0
# An hour of a provider's audio is decoded at once, and libraries take hundreds of megabytes of addresses that they never use.
_MEMORY_BYTES = 1024**3
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def speech_workers(workers: int, queue: int, *, warm: int = 0) -> WorkerPool:
    """A pool of at most so many, `warm` of which are kept; `queue` jobs wait."""
    program = Program(
        module(_PROGRAM),
        job_seconds=_JOB_SECONDS,
        step_seconds=_STEP_SECONDS,
        memory_bytes=_MEMORY_BYTES,
        environment=_ENVIRONMENT,
    )
    return WorkerPool(program, size=workers, queue=queue, warm=warm)


def translated(error: WorkerFailure) -> Exception:
    """As this service's failure."""
    match error:
        case JobRefused():
            return AudioUnusable(error.message, error.reason)
        case PoolBusy():
            return EngineBusy()
        case NoWorker() | PoolClosed():
            return Unavailable("no process that speaks can be had at the moment; try again")
        case _:
            return EngineStopped()


class WorkerStudio:
    """`speech.ports.Studio`, with at most `workers` processes, each of which works on one file: as long as its block runs, so they are as many
    as there may be calls of providers at once. `aclose` it when nobody will ask any more."""

    def __init__(self, *, workers: int, queue: int = QUEUE) -> None:
        self._pool = speech_workers(workers, queue)

    @asynccontextmanager
    async def stitching(self, format_: Format) -> AsyncIterator[WorkerStitching]:
        """See `speech.ports.Studio`."""
        try:
            async with self._pool.job({"job": "stitch", "format": format_.value}) as answers:
                yield WorkerStitching(answers)
        except WorkerFailure as error:
            raise translated(error) from error

    async def aclose(self) -> None:
        """End the workers, whatever they do."""
        await self._pool.aclose()


class WorkerStitching:
    """`speech.ports.Stitching` in one worker."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def add(self, audio: bytes, pause: float, characters: int) -> AsyncIterator[Batch]:
        """See `speech.ports.Stitching`."""
        try:
            await self._ready()
            await self._answers.send({"pause": pause, "characters": characters}, audio)
            async for answer in self._answers:
                told = told_by(answer)
                assert isinstance(told, Batch)
                yield told
        except WorkerFailure as error:
            raise translated(error) from error

    async def end(self) -> AsyncIterator[Batch | Ending]:
        """See `speech.ports.Stitching`."""
        try:
            await self._ready()
            await self._answers.send({"end": True})
            async for answer in self._answers:
                yield told_by(answer)
        except WorkerFailure as error:
            raise translated(error) from error

    async def _ready(self) -> None:
        """The worker waits for a part; before the first one it may still be on its way there."""
        if not self._answers.wants_more:
            async for _ in self._answers:
                pass
