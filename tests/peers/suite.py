"""The suite as an operator runs it: `antiphon serve` as a process, on its embedded PostgreSQL, and the command `antiphon`."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.no_limits import NO_LIMITS
from tests.peers.programs import Program, clean_environment, ending, free_port

EMAIL = "ana@example.com"
PASSWORD = "correct horse battery staple"

# The installed command; its module where the project is only on the path.
_INSTALLED = Path(sys.executable).with_name("antiphon")
_COMMAND = [str(_INSTALLED)] if _INSTALLED.exists() else [sys.executable, "-m", "services.cli"]
_START_SECONDS = 90.0
_COMMAND_SECONDS = 60


@dataclass(frozen=True)
class Suite:
    """A running suite. `home` has the login sessions of the commands."""

    program: Program
    address: str
    data: Path
    home: Path

    @property
    def announced(self) -> str:
        """What it told on standard output when it was up."""
        return self.program.output

    def environment(self) -> dict[str, str]:
        """Of a terminal beside the suite's, for a command that is to talk to it."""
        return clean_environment(ANTIPHON_SERVER=self.address, XDG_CONFIG_HOME=str(self.home))

    def command(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Runs `antiphon` with these arguments."""
        return subprocess.run(
            [*_COMMAND, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=_COMMAND_SECONDS,
            env=self.environment(),
            check=False,
        )

    def print_of(self, *arguments: str, stdin: str = "") -> str:
        """What such a command prints; it has to succeed."""
        done = self.command(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def enter(self) -> str:
        """Registers a person, logs in, and returns the access token."""
        self.print_of("register", EMAIL, "--password-stdin", stdin=f"{PASSWORD}\n")
        return self.log_in()

    def log_in(self) -> str:
        """Logs the person in, and returns the access token."""
        self.print_of("login", EMAIL, "--password-stdin", stdin=f"{PASSWORD}\n")
        return self.print_of("token").strip()


@contextlib.contextmanager
def running_suite(folder: Path, **settings: str) -> Iterator[Suite]:
    """A suite until the end of the block. What it keeps stays in the folder, for the next one there."""
    address = f"127.0.0.1:{free_port()}"
    data = folder / "data"
    environment = clean_environment(**{"ANTIPHON_METRICS__ADDRESS": "off", **NO_LIMITS, **settings})
    command = [*_COMMAND, "serve", "--port", address.rpartition(":")[2], "--data-dir", str(data)]
    with ending(Program(command, folder, environment)) as program:
        told = re.compile(rf"address  (https://)?{re.escape(address)}\b")
        program.wait_until(lambda: bool(told.search(program.output)), "the suite", _START_SECONDS)
        yield Suite(program, address, data, folder / "home")
