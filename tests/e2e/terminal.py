"""A command that sits at a terminal of its own: what is shown there, what a person types."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from types import TracebackType

SECONDS = 30.0


class Terminal:
    """Runs `antiphon` at a terminal `columns` wide."""

    def __init__(self, environment: Mapping[str, str], *arguments: str, columns: int = 80) -> None:
        self._screen, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        clean = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            # Without a controlling terminal neither Ctrl-C nor a hidden password would work as they do for a person.
            [sys.executable, "-c", _CONTROLLED, sys.executable, "-m", "services.cli", *arguments],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env=clean,
            start_new_session=True,
        )
        os.close(inside)
        self.shown = ""
        self._closed = False

    def wait_for(self, text: str) -> None:
        """Returns when what is shown since the last time has this text."""
        seen = len(self.shown)
        deadline = time.monotonic() + SECONDS
        while text not in self.shown[seen:]:
            assert time.monotonic() < deadline, self.shown
            assert self._read(), f"it ended before {text!r}: {self.shown}"

    def press(self, text: str) -> None:
        """Types these keys."""
        os.write(self._screen, text.encode())

    def ended(self, pressing: str = "") -> int:
        """Its exit code, when all has been read. `pressing` are keys that somebody presses again every two seconds until it ends: a signal that
        comes in the microseconds between a prompt and the wait for its answer is only noticed with the next one."""
        deadline = time.monotonic() + SECONDS
        again = time.monotonic() + 2
        if pressing:
            self.press(pressing)
        while self._read():
            assert time.monotonic() < deadline, self.shown
            if pressing and time.monotonic() > again:
                self.press(pressing)
                again += 2
        return self.process.wait(SECONDS)

    def hang_up(self) -> None:
        """Closes the terminal, as a person closes its window."""
        os.close(self._screen)
        self._closed = True

    def _read(self) -> bool:
        ready, _, _ = select.select([self._screen], [], [], 1)
        if not ready:
            return True
        try:
            data = os.read(self._screen, 4096)
        except OSError:
            return False
        self.shown += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if not self._closed:
            os.close(self._screen)


_CONTROLLED = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
