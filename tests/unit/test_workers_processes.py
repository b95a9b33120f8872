"""How worker processes live: apart from the server in all but their jobs, and not longer than it."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.infra.workers.errors import NoWorker, WorkerDied
from tests.fakes.worker_pools import ODD_WORKER, children, gone, pool_of, until

MIB = 1024**2
# A server that starts a worker, tells its pid, and is then killed.
SERVER = f"""
import asyncio
from services.infra.workers.pool import WorkerPool
from services.infra.workers.process import Program

async def main():
    pool = WorkerPool(Program({ODD_WORKER!r}, job_seconds=60), size=1, queue=1)
    print((await pool.ask({{"do": "echo"}})).header["pid"], flush=True)
    await pool.ask({{"do": "spin"}})

asyncio.run(main())
"""


async def test_a_worker_has_nothing_of_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_SECRET_KEY", "hidden")
    kept, _ = os.pipe()
    os.set_inheritable(kept, True)
    async with pool_of() as pool:
        seen = (await pool.ask({"do": "look"})).header
    os.close(kept)
    assert "ANTIPHON_SECRET_KEY" not in seen["variables"]
    # Input, output, error output, the socket, and the folder that it looks into.
    assert seen["descriptors"] == [0, 1, 2, 3, 4]
    assert seen["session"] == seen["pid"]
    assert seen["nice"] >= min(os.nice(0) + 5, 19)
    assert seen["core"] == 0


async def test_signals_for_a_whole_terminal_or_container_leave_it_at_work() -> None:
    async with pool_of() as pool:
        pid = (await pool.ask({"do": "echo"})).header["pid"]
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
        assert (await pool.ask({"do": "echo"})).header["pid"] == pid


async def test_one_that_died_at_rest_is_replaced_before_anybody_notices() -> None:
    async with pool_of() as pool:
        pid = (await pool.ask({"do": "echo"})).header["pid"]
        os.kill(pid, signal.SIGKILL)
        await until(lambda: gone(pid))
        assert (await pool.ask({"do": "echo"})).header["pid"] != pid


async def test_one_without_work_ends() -> None:
    async with pool_of(idle_seconds=0.02) as pool:
        assert children() == set()
        pid = (await pool.ask({"do": "echo"})).header["pid"]
        await until(lambda: gone(pid))
        assert (await pool.ask({"do": "echo"})).header["pid"] != pid


async def test_those_that_are_kept_start_at_once_and_stay_without_work() -> None:
    async with pool_of(size=3, warm=1, idle_seconds=0.02) as pool:
        await pool.warm_up()
        (kept,) = children()
        others = await asyncio.gather(*(pool.ask({"do": "sleep", "seconds": 0.05}) for _ in range(3)))
        pids = {answer.header["pid"] for answer in others}
        assert kept in pids
        assert len(pids) == 3
        await until(lambda: len(children()) == 1)
        stays = children()
        with pytest.raises(AssertionError):
            await until(lambda: children() != stays, 0.1)
        assert (await pool.ask({"do": "echo"})).header["pid"] in stays


async def test_one_that_is_kept_is_replaced_when_it_dies_without_work() -> None:
    async with pool_of(size=2, warm=2) as pool:
        await pool.warm_up()
        before = children()
        os.kill(min(before), signal.SIGKILL)
        await until(lambda: len(children()) == 2 and children() != before)


async def test_workers_that_can_not_be_kept_are_no_error_before_somebody_asks() -> None:
    async with pool_of("--never", size=2, warm=2) as pool:
        await pool.warm_up()
        with pytest.raises(NoWorker):
            await pool.ask({"do": "echo"})


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps to such a limit")
async def test_one_that_takes_more_memory_than_it_may_dies_of_it() -> None:
    async with pool_of(memory_bytes=256 * MIB) as pool:
        with pytest.raises(WorkerDied):
            await pool.ask({"do": "take", "bytes": 512 * MIB})
        assert (await pool.ask({"do": "take", "bytes": MIB})).header["bytes"] == MIB


async def test_what_it_prints_is_logged_and_not_without_end(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with pool_of() as pool:
            assert (await pool.ask({"do": "chatter"})).header["said"] == "done"
    logged = [record.getMessage() for record in caplog.records]
    assert any("noise" in line for line in logged)
    assert sum(map(len, logged)) < 512 * 1024


async def test_one_that_starts_at_the_second_attempt_does_its_job(tmp_path: Path) -> None:
    async with pool_of("--once", str(tmp_path / "attempts")) as pool:
        assert (await pool.ask({"do": "echo", "say": "here"})).header["said"] == "here"


async def test_workers_that_never_start_fail_their_jobs_soon_and_then_at_once() -> None:
    async with pool_of("--never", size=2) as pool:
        started = time.monotonic()
        first = await asyncio.gather(*(pool.ask({"do": "echo"}) for _ in range(4)), return_exceptions=True)
        assert [type(failure) for failure in first] == [NoWorker] * 4
        assert time.monotonic() - started < 5
        with pytest.raises(NoWorker, match="do not start"):
            await asyncio.wait_for(pool.ask({"do": "echo"}), 0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it ends when its job does")
async def test_a_killed_server_takes_a_busy_worker_along() -> None:
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, stdout=subprocess.PIPE)
    assert server.stdout is not None
    pid = int(await server.stdout.readline())
    server.kill()
    await server.wait()
    await until(lambda: gone(pid), 5)
