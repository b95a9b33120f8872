"""A command run under the watchdog, seen from the suite."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_WATCHDOG = Path(__file__).with_name("watchdog.py")
_LOG_LIMIT_BYTES = 4 * 1024 * 1024
_REPORT_SECONDS = 30.0

# The programs see nothing of the suite's environment: neither its secrets nor a stray PGDATA or PGPORT.
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True)
class Command:
    """What to run, and how it is ended when the suite goes: signals by name with the seconds each is
    given.
    """

    words: Sequence[str | Path]
    log: Path
    signals: str = "SIGTERM:5"
    source: Path = Path(os.devnull)
    folder_to_remove: Path | None = None


class Supervised:
    """A running command. `ended` is set when the watchdog has gone, with the command or without it."""

    def __init__(self, command: Command, lock: int) -> None:
        """Starts the command; `lock` is a descriptor that the watchdog and the command keep open, and we
        close.

        Raises OSError when no process can be started.
        """
        python: list[str | Path] = [sys.executable, "-I", "-S", _WATCHDOG, str(os.getpid())]
        wishes: list[str | Path] = [command.log, str(_LOG_LIMIT_BYTES), command.signals, command.source]
        try:
            self._watchdog = subprocess.Popen(
                [*python, *wishes, command.folder_to_remove or "", *command.words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(lock,),
                cwd="/",
                env=_environment(),
                start_new_session=True,
            )
        finally:
            os.close(lock)
        self.ended = threading.Event()
        self._started = threading.Event()
        self.pid: int | None = None
        self.wait_status: int | None = None
        threading.Thread(target=self._listen, name="postgres-watchdog", daemon=True).start()
        self._started.wait(_REPORT_SECONDS)

    def _listen(self) -> None:
        assert self._watchdog.stdout is not None
        for line in self._watchdog.stdout:
            word, _, value = line.decode().strip().partition(" ")
            if word == "started":
                self.pid = int(value)
                self._started.set()
            elif word == "ended" and value.lstrip("-").isdigit():
                self.wait_status = int(value)
        self._watchdog.wait()
        self._started.set()
        self.ended.set()

    @property
    def watchdog_pid(self) -> int:
        return self._watchdog.pid

    @property
    def succeeded(self) -> bool:
        return self.wait_status == 0

    def describe_end(self) -> str:
        """How it ended, in words for a log."""
        if self.wait_status is None:
            return "its watchdog was killed"
        code = os.waitstatus_to_exitcode(self.wait_status)
        return f"it was killed by signal {-code}" if code < 0 else f"it ended with exit code {code}"

    def let_go(self) -> None:
        """Tells the watchdog to end the command. Returns at once; wait for `ended`."""
        assert self._watchdog.stdin is not None
        self._watchdog.stdin.close()

    def kill_watchdog(self) -> None:
        """For a watchdog that does not answer; what it watched is then an orphan."""
        self._watchdog.kill()


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}
