"""A round of conformance cases goes on behind runners and suites that fail, and ends what it has started."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from conformance.driver import runner as runner_module
from conformance.driver.cases import Case
from conformance.driver.failures import DriverFailed, RunnerFailed
from conformance.driver.languages import Language
from conformance.driver.playing import play
from conformance.driver.round import play_all
from conformance.driver.runner import started
from conformance.driver.stopping import Stopped, until_told_to_stop
from conformance.driver.suite import Suite, Suites


class Script:
    """What becomes of a suite's starts: each either fails or not; `begun` are those that there were."""

    def __init__(self, *fail: bool) -> None:
        self.fail = [*fail]
        self.begun: list[Suite] = []

    def suites(self, folder: Path) -> Suites:
        """Those of a round."""
        return Suites(folder, make=lambda *_: FakeSuite(self, folder))


class FakeSuite(Suite):
    """A suite without a process."""

    def __init__(self, script: Script, folder: Path) -> None:
        super().__init__("plain", folder, None, {})
        self._script = script

    @property
    def starts(self) -> int:
        return self._script.begun.count(self)

    @property
    def up(self) -> bool:
        return self._up

    async def start(self) -> None:
        self._script.begun.append(self)
        await asyncio.sleep(0.05)
        if self._script.fail.pop(0):
            raise DriverFailed("it did not start")
        self._up = True

    async def stop(self) -> None:
        self._up = False


async def test_a_suite_that_does_not_start_is_not_handed_out(tmp_path: Path) -> None:
    script = Script(True)
    running = script.suites(tmp_path)
    for _ in range(2):
        with pytest.raises(DriverFailed):
            await running.of("plain")
    assert len(script.begun) == 1


async def test_a_suite_that_has_gone_is_started_again(tmp_path: Path) -> None:
    script = Script(False, False)
    running = script.suites(tmp_path)
    first = await running.of("plain")
    assert await running.of("plain") is first
    await first.stop()
    assert (await running.of("plain")).up
    assert script.begun == [first, first]


async def test_a_runner_that_dies_while_the_suite_starts_again_leaves_it_up(tmp_path: Path) -> None:
    suites = Script(False, False).suites(tmp_path)
    steps = [{"op": "call", "as": "nobody", "while": [{"after_ms": 0, "do": "restart"}]}]
    async with started(scripted(tmp_path, {"result": {}}), tmp_path) as runner:
        with pytest.raises(RunnerFailed, match="ended"):
            await play(Case("calls/one", "It.", steps, people=[]), runner, suites)
    suite = await suites.of("plain")
    assert suite.up
    assert isinstance(suite, FakeSuite)
    assert suite.starts == 2


async def test_cases_of_a_suite_that_does_not_start_are_not_known(tmp_path: Path) -> None:
    suites = Script(True).suites(tmp_path)
    chosen = [Case("calls/one", "It.", [])]
    outcomes = await play_all([scripted(tmp_path)], chosen, tmp_path, suites, lambda *_: None)
    assert "did not start" in outcomes["cobol"]["calls/one"].unknown


async def test_a_runner_that_never_says_hello_is_started_once_and_nothing_is_known(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    program = f"open({str(starts)!r}, 'a').write('x'); print('hello?', flush=True)"
    mute = Language("cobol", tmp_path, [sys.executable, "-c", program])
    chosen = [Case(f"calls/no-{number}", "It.", [{"do": "kill"}]) for number in range(3)]
    outcomes = await play_all([mute], chosen, tmp_path, Suites(tmp_path), lambda *_: None)
    assert starts.read_text() == "x"
    assert [*outcomes["cobol"]] == [case.name for case in chosen]
    assert all("protocol" in outcome.unknown for outcome in outcomes["cobol"].values())


async def test_a_runner_whose_program_is_not_there_tells_so(tmp_path: Path) -> None:
    absent = Language("cobol", tmp_path, [str(tmp_path / "runner")])
    chosen = [Case("calls/one", "It.", [])]
    outcomes = await play_all([absent], chosen, tmp_path, Suites(tmp_path), lambda *_: None)
    assert "could not be started" in outcomes["cobol"]["calls/one"].unknown


@pytest.mark.parametrize("odd", [{"result": None}, {"event": 5}, {"result": "b"}, {}, 5, [], {"id": []}])
async def test_an_odd_line_fails_its_op_and_says_what_it_was(tmp_path: Path, odd: Any) -> None:
    async with started(scripted(tmp_path, odd), tmp_path) as runner:
        with pytest.raises(RunnerFailed, match="protocol"):
            await runner.do("ping", 10)
        assert not runner.alive


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_what_is_told_to_stop_ends_what_it_has_started(number: signal.Signals) -> None:
    ended = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.sleep(10)
        finally:
            # The second time, which has to change nothing.
            os.kill(os.getpid(), number)
            await asyncio.sleep(0.01)
            ended.append(True)

    with pytest.raises(Stopped) as stopped:
        await until_told_to_stop(work())
    assert stopped.value.signal is number
    assert ended == [True]


def scripted(folder: Path, *lines: Any) -> Language:
    """A language whose runner says hello, and then a line for each op; without an id of its own that of the op."""
    program = """
import json, sys
said = [{"result": {"language": "cobol"}}, *json.loads(sys.argv[1])]
for line, odd in zip(sys.stdin, said):
    told = {"id": json.loads(line)["id"], **odd} if isinstance(odd, dict) else odd
    print(json.dumps(told), flush=True)
"""
    return Language("cobol", folder, [sys.executable, "-c", program, json.dumps(lines)])


async def test_a_runner_that_falls_silent_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "_PING_SECONDS", 0.05)
    hello = json.dumps({"id": 1, "result": {"language": "cobol"}})
    program = f"print({hello!r}, flush=True); import sys; sys.stdin.read()"
    async with started(Language("cobol", tmp_path, [sys.executable, "-c", program]), tmp_path) as runner:
        with pytest.raises(RunnerFailed, match="did not end"):
            await runner.do("token", 0.05, client="ana")
        assert not runner.alive
