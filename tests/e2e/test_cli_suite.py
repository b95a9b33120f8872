"""The command line and the suite that it starts: the first steps as they are printed, and a kill -9 in between."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ANTIPHON = [sys.executable, "-m", "services.cli"]
LONG = " ".join(str(number) for number in range(400))


@pytest.fixture
def address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def environment(tmp_path: Path, address: str) -> dict[str, str]:
    settings = ("ANTIPHON_", "DATABASE_", "APP_ENV", "NODE_ENV", "OPENAI_", "GITHUB_TOKEN")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(settings)}
    return clean | {
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "ANTIPHON_METRICS__ADDRESS": "127.0.0.1:0",
        "ANTIPHON_SERVER": address,
    }


@contextlib.contextmanager
def serving(folder: Path, address: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The suite, once it is up; what it prints is in `folder/printed`."""
    arguments = ["serve", "--port", address.rpartition(":")[2], "--data-dir", str(folder / "data")]
    printed, log = folder / "printed", folder / "log"
    with printed.open("w") as out, log.open("w") as err:
        process = subprocess.Popen(
            [*ANTIPHON, *arguments], stdout=out, stderr=err, cwd=folder, env=environment
        )
    try:
        deadline = time.monotonic() + 40
        while "Antiphon is up" not in printed.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ANTIPHON, *arguments], capture_output=True, text=True, env=environment, timeout=30, check=False
    )


def test_the_first_steps_and_a_kill_in_between(
    tmp_path: Path, address: str, environment: dict[str, str]
) -> None:
    with serving(tmp_path, address, environment) as suite:
        lines = (tmp_path / "printed").read_text().splitlines()
        pasted = next(line for line in lines if " login " in line and " chat " in line)
        first = subprocess.run(
            ["sh", "-c", pasted], capture_output=True, text=True, env=environment, timeout=30, check=False
        )
        assert first.returncode == 0, first.stderr
        assert "Hello" in first.stdout
        assert json.loads(run(environment, "whoami", "--json").stdout)["role"] == "ROLE_ADMIN"

        # Killed while it answers, the suite comes back, and the reader learns how the answer ended.
        reading = subprocess.Popen(
            [*ANTIPHON, "chat", LONG],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert reading.stdout is not None
        seen = reading.stdout.read(20)
        suite.send_signal(signal.SIGKILL)
        suite.wait()
        with serving(tmp_path, address, environment):
            rest, told = reading.communicate(timeout=30)
            assert reading.returncode == 1
            assert "kept" in told
            assert "password" not in (tmp_path / "printed").read_text()

            sessions = json.loads(run(environment, "chats", "list", "--json").stdout)["sessions"]
            assert [session["title"][:9] for session in sessions] == ["0 1 2 3 4", "Hello"]
            kept = run(environment, "chats", "show", sessions[1]["sessionId"]).stdout
            assert kept.index("user") < kept.index("assistant (echo)")
            assert (seen + rest).strip() in run(environment, "chats", "show", sessions[0]["sessionId"]).stdout


def test_ctrl_c_ends_an_answer_and_keeps_it(
    tmp_path: Path, address: str, environment: dict[str, str]
) -> None:
    with serving(tmp_path, address, environment):
        reading = subprocess.Popen(
            [*ANTIPHON, "chat", "--json", LONG],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert reading.stdout is not None
        events = [json.loads(reading.stdout.readline()) for _ in range(5)]
        reading.send_signal(signal.SIGINT)
        events += [json.loads(line) for line in reading.communicate(timeout=20)[0].splitlines()]
        assert reading.returncode == 130
        assert [int(event["firstSeq"]) for event in events[1:]] == [
            int(event["seq"]) + 1 for event in events[:-1]
        ]
        assert events[-1]["finished"]["reason"] == "FINISH_REASON_CANCELLED"
