"""The suite is asked to stop, by SIGTERM or Ctrl-C, while it serves, while it answers and while it starts."""

import asyncio
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from antiphon.chat.v1 import chat_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.e2e.chat_witness import Witness, chat_at, hold_against_record, hold_usage
from tests.e2e.suite_process import COMMAND, NOT_SERVING, SERVING, SuiteProcess, environment, working_in
from tests.peers.programs import eventually, free_port

pytestmark = pytest.mark.long

StartSuite = Callable[..., SuiteProcess]
LONG = " ".join(str(number) for number in range(1000))
SHORT = " ".join(str(number) for number in range(20))
CTRL_C = b"\x03"


async def until_first_words(*witnesses: Witness) -> None:
    await asyncio.to_thread(
        eventually, lambda: all(len(witness.events) >= 5 for witness in witnesses), "the first words"
    )


def test_sigterm_lets_answers_go_on_for_a_while_and_records_the_rest(
    tmp_path: Path, start_suite: StartSuite
) -> None:
    suite = start_suite(settings={"ANTIPHON_SERVER__GRACE": "2s"}).up()
    token = suite.register()
    assert (suite.health(), suite.health("live")) == (SERVING, SERVING)
    short, long = Witness(SHORT, token), Witness(LONG, token)

    async def stop_while_answering() -> tuple[grpc.aio.AioRpcError, int]:
        async with chat_at(suite.address) as stub:
            watching = [asyncio.create_task(each.watch(stub)) for each in (short, long)]
            await until_first_words(short, long)
            suite.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(eventually, lambda: suite.health() == NOT_SERVING, "NOT_SERVING")
            assert await asyncio.to_thread(suite.health, "antiphon.chat.v1.ChatService") == NOT_SERVING
            assert await asyncio.to_thread(suite.health, "live") == SERVING
            seen = len(long.events)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.ListModels(chat_pb2.ListModelsRequest())
            await asyncio.wait_for(asyncio.gather(*watching), 20)
            return refused.value, seen

    refused, seen = asyncio.run(stop_while_answering())
    assert suite.ended() == 0
    assert refused.code() is grpc.StatusCode.UNAVAILABLE
    assert {"SHUTTING_DOWN"} == {info.reason for info in details(refused, error_details_pb2.ErrorInfo)}
    assert [info.retry_delay.seconds for info in details(refused, error_details_pb2.RetryInfo)] == [1]
    assert len(long.events) > seen
    assert (short.status, short.finished) == ("OK", True)
    assert not long.finished
    assert working_in(tmp_path) == []
    told = [line["event"] for line in suite.log if line["event"] != "call"]
    assert told[-2:] == ["stopping", "stopped"]
    assert not any("exception" in line for line in suite.log)

    suite = start_suite(port=suite.port).up()
    found = asyncio.run(hold_against_record(suite.address, [short, long]))
    assert found.states == {"COMPLETED": 1, "INTERRUPTED": 1}
    assert hold_usage(suite.data_dir) == (2, 2)


def details(error: grpc.aio.AioRpcError, kind: type) -> list:  # type: ignore[type-arg]
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    found = []
    for packed in status.details:
        message = kind()
        if packed.Unpack(message):
            found.append(message)
    return found


@dataclass
class Terminal:
    """A suite on a terminal of its own, where Ctrl-C reaches everything in the foreground, as it does for people."""

    process: subprocess.Popen[bytes]
    screen: int
    shown: str = ""
    status: int | None = None
    began: float = field(default_factory=time.monotonic)

    def read(self) -> None:
        while select.select([self.screen], [], [], 0)[0]:
            try:
                data = os.read(self.screen, 65536)
            except OSError:  # nobody has the other end any more
                break
            if not data:
                break
            self.shown += data.decode(errors="replace")

    def until(self, text: str, seconds: float = 40.0) -> None:
        def look() -> bool:
            self.read()
            return text in self.shown

        eventually(look, f"{text!r} in {self.shown!r}", seconds)

    def press(self, keys: bytes) -> None:
        os.write(self.screen, keys)

    def ended(self, seconds: float = 30.0) -> int:
        def look() -> bool:
            self.read()
            self.status = self.process.poll()
            return self.status is not None

        eventually(look, "the end of the suite", seconds)
        assert self.status is not None
        return self.status

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.screen)


# Makes its standard input the terminal of its session, then becomes the program. A fork of this process would not do: gRPC has threads.
FOREGROUND = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
StartTerminal = Callable[..., Terminal]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[StartTerminal]:
    made: list[Terminal] = []

    def start(port: int, **settings: str) -> Terminal:
        command = [*COMMAND, "serve", "--port", str(port), "--data-dir", "data"]
        given = environment(tmp_path, settings) | {"TERM": "xterm"}
        screen, end = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", FOREGROUND, *command],
            stdin=end,
            stdout=end,
            stderr=end,
            cwd=tmp_path,
            env=given,
            start_new_session=True,
        )
        os.close(end)
        made.append(Terminal(process, screen))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_ctrl_c_stops_and_a_second_one_hurries(
    tmp_path: Path, terminal: StartTerminal, start_suite: StartSuite
) -> None:
    port = free_port()
    suite = terminal(port, ANTIPHON_SERVER__GRACE="30s")
    suite.until("Antiphon is up")
    suite.until("serving")
    witness = Witness(LONG, "")

    async def press_twice() -> float:
        async with chat_at(f"127.0.0.1:{port}") as stub:
            watching = asyncio.create_task(witness.watch(stub))
            await until_first_words(witness)
            suite.press(CTRL_C)
            await asyncio.to_thread(suite.until, "stopping")
            seen = len(witness.events)
            await asyncio.to_thread(eventually, lambda: len(witness.events) > seen, "that the answer goes on")
            began = time.monotonic()
            suite.press(CTRL_C)
            await asyncio.wait_for(watching, 20)
            assert await asyncio.to_thread(suite.ended) == 0
            return time.monotonic() - began

    assert asyncio.run(press_twice()) < 10
    assert "stopping at once" in suite.shown
    assert "Traceback" not in suite.shown
    assert working_in(tmp_path) == []
    next_suite = start_suite(port=port, data_dir=tmp_path / "data").up()
    found = asyncio.run(hold_against_record(next_suite.address, [witness]))
    assert found.states == {"INTERRUPTED": 1}
    assert hold_usage(next_suite.data_dir) == (1, 1)


def test_ctrl_c_during_the_start_leaves_nothing(tmp_path: Path, terminal: StartTerminal) -> None:
    port = free_port()
    for seconds in (0.4, 1.0):
        suite = terminal(port)
        time.sleep(seconds)
        suite.press(CTRL_C)
        assert suite.ended() in (0, 130, -signal.SIGINT)
        assert "Traceback" not in suite.shown
        assert working_in(tmp_path) == []


def test_sigterm_during_the_start_leaves_nothing(tmp_path: Path, start_suite: StartSuite) -> None:
    suite = start_suite()
    time.sleep(1.0)
    assert suite.stop() in (0, -signal.SIGTERM)
    assert working_in(tmp_path) == []
    assert "Traceback" not in suite.err


def test_when_its_postgresql_is_ended_by_somebody_the_suite_says_so_and_ends(
    tmp_path: Path, start_suite: StartSuite
) -> None:
    suite = start_suite().up()
    eventually(lambda: any(line["event"] == "serving" for line in suite.log), "the end of the start")
    pid = int((suite.data_dir / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGINT)
    assert suite.ended() == 1
    assert "The embedded PostgreSQL ended by itself" in suite.err
    assert working_in(tmp_path) == []
