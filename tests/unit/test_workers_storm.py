"""Jobs that end in every way at once, in any order."""

import asyncio
import os
import random

import psutil
import pytest

from services.infra.workers.errors import WorkerFailure
from services.infra.workers.pool import WorkerPool
from tests.fakes.worker_pools import pool_of, until

pytestmark = pytest.mark.long

JOBS = (
    {"do": "echo"},
    {"do": "sleep", "seconds": 0.02},
    {"do": "sleep", "seconds": 60},
    {"do": "die"},
    {"do": "refuse"},
    {"do": "break"},
)
SIZE = 3


async def one(pool: WorkerPool, chance: random.Random) -> None:
    await asyncio.sleep(chance.random() * 3)
    patience = chance.choice((0.002, 0.05, 5))
    try:
        async with asyncio.timeout(patience):
            if chance.random() < 0.3:
                await counted(pool, chance)
            else:
                body = bytes(chance.randrange(300_000))
                await pool.ask(chance.choice(JOBS), body, let_finish=chance.random() < 0.5)
    except (TimeoutError, WorkerFailure):
        pass


async def counted(pool: WorkerPool, chance: random.Random) -> None:
    expected = 0
    async with pool.job({"do": "count", "to": 40, "bytes": 10_000}) as answers:
        async for answer in answers:
            assert answer.header["number"] == expected
            expected += 1
            if chance.random() < 0.02:
                break


@pytest.mark.parametrize("seed", range(3))
async def test_no_place_no_process_and_no_descriptor_is_lost(seed: int) -> None:
    chance = random.Random(seed)
    descriptors = psutil.Process().num_fds()
    async with pool_of(size=SIZE, queue=50, job_seconds=0.3, idle_seconds=0.05) as pool:
        await asyncio.gather(*(one(pool, chance) for _ in range(300)))
        said = await asyncio.gather(*(pool.ask({"do": "echo", "say": str(n)}) for n in range(20)))
        assert [answer.header["said"] for answer in said] == [str(n) for n in range(20)]
        pids = {answer.header["pid"] for answer in said}
        assert len(pids) <= SIZE
    await until(lambda: psutil.Process().num_fds() <= descriptors)
    assert not [
        child for child in psutil.Process(os.getpid()).children() if "odd_worker" in str(child.cmdline())
    ]
