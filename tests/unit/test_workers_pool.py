"""Jobs, their queue, and what becomes of a worker whose job ends badly."""

import asyncio

import pytest
import uvloop

from services.infra.workers.errors import (
    JobFailed,
    JobRefused,
    JobTimedOut,
    PoolBusy,
    PoolClosed,
    WorkerDied,
)
from services.infra.workers.pool import WorkerPool
from tests.fakes.worker_pools import gone, pool_of, until

KILLED_WITHIN = 0.2
"""Seconds, on a machine that does nothing else; a busy one gets more."""
BUSY = 5


async def pid_of(pool: WorkerPool) -> int:
    pid: int = (await pool.ask({"do": "echo"})).header["pid"]
    return pid


async def test_what_is_asked_comes_back_whole() -> None:
    body = bytes(range(256)) * 4000
    async with pool_of() as pool:
        for sent in (b"", b"\0", body):
            answer = await pool.ask({"do": "echo", "say": "ü猫\0\n"}, sent)
            assert (answer.header["said"], answer.body) == ("ü猫\0\n", sent)


async def test_answers_stream_in_their_order_and_their_worker_is_used_again() -> None:
    async with pool_of() as pool:
        before = await pid_of(pool)
        async with pool.job({"do": "count", "to": 30, "bytes": 20_000}) as answers:
            told = [(answer.header["number"], len(answer.body)) async for answer in answers]
        assert told == [(number, 20_000) for number in range(30)]
        assert await pid_of(pool) == before


async def test_jobs_that_wait_are_done_in_their_order() -> None:
    done: list[int] = []

    async def job(number: int) -> None:
        await pool.ask({"do": "echo"})
        done.append(number)

    async with pool_of() as pool:
        await asyncio.gather(*(job(number) for number in range(10)))
    assert done == list(range(10))


async def test_urgent_jobs_are_never_too_many_and_go_before_those_that_wait() -> None:
    done: list[str] = []

    async def job(name: str, urgent: bool) -> None:
        await pool.ask({"do": "echo"}, urgent=urgent)
        done.append(name)

    async with pool_of(queue=2) as pool:
        async with pool.job({"do": "echo"}):
            waiting = [
                asyncio.create_task(job(name, name.startswith("urgent")))
                for name in ("first", "second", "urgent 1", "urgent 2", "urgent 3")
            ]
            await asyncio.sleep(0)
            with pytest.raises(PoolBusy):
                await pool.ask({"do": "echo"})
            waiting[3].cancel()
            await asyncio.sleep(0)
        await asyncio.gather(*waiting, return_exceptions=True)
    assert done == ["urgent 1", "urgent 3", "first", "second"]


async def test_a_full_queue_says_so_until_somebody_leaves_it() -> None:
    async with pool_of(queue=1) as pool:
        async with pool.job({"do": "echo"}):
            waiting = asyncio.create_task(pool.ask({"do": "echo"}))
            await asyncio.sleep(0)
            with pytest.raises(PoolBusy):
                await pool.ask({"do": "echo"})
            waiting.cancel()
            await asyncio.wait([waiting])
            waiting = asyncio.create_task(pool.ask({"do": "echo", "say": "my turn"}))
            await asyncio.sleep(0)
        assert (await waiting).header["said"] == "my turn"


@pytest.mark.parametrize("ending", ["cancelled", "left"])
async def test_who_leaves_a_job_has_its_worker_killed_and_replaced(ending: str) -> None:
    async with pool_of() as pool:
        before = await pid_of(pool)
        if ending == "cancelled":
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pool.ask({"do": "sleep", "seconds": 60}), 0.01)
        else:
            async with pool.job({"do": "count", "to": 1000, "bytes": 100_000}) as answers:
                await anext(answers)
        await until(lambda: gone(before), KILLED_WITHIN * BUSY)
        assert await pid_of(pool) != before


async def test_a_short_job_may_be_finished_for_nobody() -> None:
    async with pool_of() as pool:
        before = await pid_of(pool)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.ask({"do": "sleep", "seconds": 0.05}, let_finish=True), 0.01)
        assert await pid_of(pool) == before


async def test_a_job_that_takes_too_long_loses_its_worker() -> None:
    async with pool_of(job_seconds=0.05) as pool:
        before = await pid_of(pool)
        with pytest.raises(JobTimedOut):
            await pool.ask({"do": "sleep", "seconds": 60})
        assert await pid_of(pool) != before


async def test_a_slow_taker_of_answers_takes_nothing_from_the_jobs_time() -> None:
    async with pool_of(job_seconds=0.2) as pool, pool.job({"do": "count", "to": 3}) as answers:
        number = 0
        async for _ in answers:
            await asyncio.sleep(0.1)
            number += 1
    assert number == 3


async def test_a_job_may_be_given_more_while_it_runs() -> None:
    async with pool_of() as pool:
        before = await pid_of(pool)
        async with pool.job({"do": "repeat"}) as answers:
            assert [answer async for answer in answers] == []
            for times, body in ((2, b"a" * 300_000), (0, b""), (5, b"c")):
                assert answers.wants_more
                await answers.send({"times": times}, body)
                assert [answer.body async for answer in answers] == [body] * times
            await answers.send({"enough": True})
            assert [answer async for answer in answers] == []
            with pytest.raises(RuntimeError):
                await answers.send({"times": 1})
        assert await pid_of(pool) == before


async def test_nothing_is_sent_to_a_job_that_does_not_wait_for_it() -> None:
    async with pool_of() as pool, pool.job({"do": "repeat"}) as answers:
        with pytest.raises(RuntimeError):
            await answers.send({"times": 1})


async def test_a_long_job_may_take_its_time_if_each_of_its_steps_is_short() -> None:
    async with pool_of(step_seconds=0.4) as pool:
        async with pool.job({"do": "count", "to": 5, "seconds": 0.1}) as answers:
            assert len([answer async for answer in answers]) == 5
        with pytest.raises(JobTimedOut):
            await pool.ask({"do": "sleep", "seconds": 60})


async def test_a_death_ends_one_job_alone() -> None:
    async with pool_of(size=2) as pool:
        other = asyncio.create_task(pool.ask({"do": "sleep", "seconds": 0.1}))
        with pytest.raises(WorkerDied):
            await pool.ask({"do": "die"})
        assert (await other).header["pid"]


@pytest.mark.parametrize(("job", "failure"), [("refuse", JobRefused), ("break", JobFailed)])
async def test_a_worker_outlives_what_it_refuses_and_where_it_fails(
    job: str, failure: type[Exception]
) -> None:
    async with pool_of() as pool:
        before = await pid_of(pool)
        with pytest.raises(failure) as told:
            await pool.ask({"do": job})
        if isinstance(told.value, JobRefused):
            assert (told.value.reason, told.value.message) == ("whim", "not today")
        assert await pid_of(pool) == before


async def test_closing_ends_jobs_that_run_and_jobs_that_wait() -> None:
    async with pool_of() as pool:
        pid = await pid_of(pool)
        running = asyncio.create_task(pool.ask({"do": "sleep", "seconds": 60}))
        await asyncio.sleep(0.01)
        waiting = asyncio.create_task(pool.ask({"do": "echo"}))
        await asyncio.sleep(0)
        await pool.aclose()
        assert gone(pid)
        for job in (running, waiting, pool.ask({"do": "echo"})):
            with pytest.raises(PoolClosed):
                await job


def test_the_servers_event_loop_does_as_well() -> None:
    async def jobs() -> None:
        async with pool_of() as pool:
            before = await pid_of(pool)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pool.ask({"do": "sleep", "seconds": 60}), 0.01)
            assert (await pool.ask({"do": "echo"}, bytes(1_000_000))).header["pid"] != before

    uvloop.run(jobs())
