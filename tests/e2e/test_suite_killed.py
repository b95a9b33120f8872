"""The suite is killed with -9 at moments that nobody chose: what was delivered is on record, and the next start works."""

import asyncio
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from tests.e2e.chat_witness import Witness, chat_at, hold_against_record, hold_usage, watch_all
from tests.e2e.suite_process import SuiteProcess, seconds_until_nobody_works_in
from tests.peers.programs import free_port

pytestmark = pytest.mark.long

StartSuite = Callable[..., SuiteProcess]
AT_ONCE = 15.0


def asked(chance: random.Random, words: int, token: str) -> Witness:
    return Witness(" ".join(str(chance.randint(0, 99_999)) for _ in range(words)), token)


async def watch_and_kill(suite: SuiteProcess, witnesses: list[Witness], seconds: float) -> None:
    async with chat_at(suite.address) as stub:
        watching = [asyncio.create_task(witness.watch(stub)) for witness in witnesses]
        await asyncio.sleep(seconds)
        suite.kill()
        await asyncio.wait_for(asyncio.gather(*watching), 20)


def test_whatever_a_client_was_given_is_on_record(tmp_path: Path, start_suite: StartSuite) -> None:
    chance = random.Random(5)
    port = free_port()
    suite = start_suite(port=port).up()
    token = suite.register()
    interrupted = 0
    for words, lives in ((300, (0.1, 0.9)), (10, (0.3, 0.8)), (0, (0.0, 0.0))) * 2:
        witnesses = [
            asked(chance, words, token if number % 4 else "") for number in range(16 if words else 0)
        ]
        asyncio.run(watch_and_kill(suite, witnesses, chance.uniform(*lives)))
        if not words:
            suite = start_suite(port=port)
            time.sleep(chance.uniform(0.2, 0.9))  # killed while it starts
            suite.kill()
        began = time.monotonic()
        suite = start_suite(port=port).up()
        assert time.monotonic() - began < AT_ONCE
        assert suite.password is None
        found = asyncio.run(hold_against_record(suite.address, witnesses))
        interrupted += found.states["INTERRUPTED"]
        hold_usage(suite.data_dir)
        assert "exception" not in suite.err
    assert interrupted
    suite.kill()
    seconds_until_nobody_works_in(tmp_path)


def test_asking_again_after_the_kill_makes_nothing_twice_and_no_stranger_is_harmed(
    tmp_path: Path, start_suite: StartSuite
) -> None:
    suite = start_suite().up()
    pid_file = suite.data_dir / "postgres" / "cluster" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    token = suite.register()
    first = asked(random.Random(1), 300, token)
    asyncio.run(watch_and_kill(suite, [first], 0.5))
    seconds_until_nobody_works_in(tmp_path)
    # Meanwhile somebody else has got the number that the dead postmaster had.
    with subprocess.Popen(["sleep", "600"]) as stranger:
        try:
            pid_file.write_text("\n".join([str(stranger.pid), *lines[1:], ""]))
            suite = start_suite(port=suite.port).up()
            again = Witness(first.text, token, request_id=first.request_id)
            asyncio.run(watch_all(suite.address, [again]))
            usage = hold_usage(suite.data_dir)
            assert suite.stop() == 0
            assert stranger.poll() is None
        finally:
            stranger.kill()
    assert first.started is not None
    assert again.started == first.started
    assert again.status == "ABORTED"
    told = ["".join(event.text_delta.text for event in each.events) for each in (first, again)]
    assert told[1].startswith(told[0])
    assert usage == (1, 1)


def test_killed_during_the_first_start_nobody_is_locked_out(start_suite: StartSuite) -> None:
    port, passwords = free_port(), set()
    for seconds in (0.8, 10.0):  # the second one at the moment when the password is on the screen
        suite = start_suite(port=port)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and suite.password is None:
            time.sleep(0.001)
        suite.kill()
        passwords.add(suite.password)
    suite = start_suite(port=port).up()
    passwords.add(suite.password)
    # A password that was shown just before the end may be shown no more; the last one shown is that of the administrator.
    assert any(_opens(suite, password) for password in passwords - {None})


def _opens(suite: SuiteProcess, password: str | None) -> bool:
    try:
        return bool(suite.log_in("admin@antiphon.local", password or ""))
    except grpc.RpcError:
        return False
