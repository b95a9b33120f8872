"""Pools of `odd_worker`, and how their processes are watched."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from services.infra.workers.pool import WorkerPool
from services.infra.workers.process import Program

ODD_WORKER = (sys.executable, "-P", str(Path(__file__).with_name("odd_worker.py")))


@asynccontextmanager
async def pool_of(
    *words: str,
    size: int = 1,
    queue: int = 10,
    job_seconds: float = 20.0,
    step_seconds: float | None = None,
    idle_seconds: float = 60.0,
    memory_bytes: int | None = None,
    warm: int = 0,
) -> AsyncIterator[WorkerPool]:
    """A pool of workers that are started with these words."""
    program = Program(
        (*ODD_WORKER, *words), job_seconds=job_seconds, step_seconds=step_seconds, memory_bytes=memory_bytes
    )
    pool = WorkerPool(program, size=size, queue=queue, idle_seconds=idle_seconds, warm=warm)
    try:
        yield pool
    finally:
        await pool.aclose()


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "the condition did not come to hold"
        await asyncio.sleep(0.002)


def gone(pid: int) -> bool:
    """Whether this process runs no more."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def children() -> set[int]:
    """The processes that this one started and that still run."""
    return {child.pid for child in psutil.Process(os.getpid()).children() if not gone(child.pid)}
