"""Programs that a test starts and ends by their own process ids, and polling with a limit."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

_POLL_SECONDS = 0.02
_STOP_SECONDS = 20.0
_LOG_LINES = 40
# What a program may need of the environment of whoever runs the tests; their settings stay out.
_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")

Found = TypeVar("Found")


def eventually(look: Callable[[], Found | None], what: str, seconds: float = 20.0) -> Found:
    """What `look` finds, once it is anything but None or False. Fails when that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come within {seconds:.0f} s")
        time.sleep(_POLL_SECONDS)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment(**settings: str) -> dict[str, str]:
    """An environment with these settings and no others; UTF-8 is spoken."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1", **settings}


class Program:
    """A running program with its output in a file. `pid` is its own, as it is started without a shell."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = Path(command[0]).name
        with tempfile.NamedTemporaryFile(
            dir=folder, prefix=f"{self.name}-", suffix=".log", delete=False
        ) as log:
            self.log = Path(log.name)
            self._process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """All that it has said so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float) -> None:
        """Waits for the program to be ready; fails with the end of its log when it ends or takes too long."""

        def look() -> bool:
            if not self.running:
                raise AssertionError(f"{self.name} ended with {self._process.returncode}")
            return ready()

        try:
            eventually(look, what, seconds)
        except AssertionError as error:
            tail = "\n".join(self.output.splitlines()[-_LOG_LINES:])
            raise AssertionError(f"{error}; the end of its log:\n{tail}") from None

    def kill(self) -> None:
        """As `kill -9` does."""
        if self.running:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> int:
        """Asks it to end and returns its exit status; one that does not listen is killed."""
        if self.running:
            self._process.terminate()
        try:
            return self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.returncode


@contextlib.contextmanager
def ending(program: Program) -> Iterator[Program]:
    """The program until the end of the block."""
    try:
        yield program
    finally:
        program.stop()


def accepts_connections(port: int) -> bool:
    """Whether somebody listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
