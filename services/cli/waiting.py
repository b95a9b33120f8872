"""A line that shows that something is waited for, and for how long, at a terminal alone."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import threading
import time

from services.cli.output import for_programs, note

_SECONDS = 0.1
_TO_THE_LINE_S_BEGINNING, _CLEARED = "\r", "\x1b[K"
_SIGNS, _PLAIN_SIGNS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"


class Waiting:
    """Within the block standard error shows `what`, with a sign that moves and the seconds since; nothing of it stays. In a pipe and for programs
    it shows nothing."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._drawn = sys.stderr.isatty() and not for_programs.get() and os.environ.get("TERM") != "dumb"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._draw, daemon=True)

    def say(self, what: str) -> None:
        """Shows this from now on."""
        self._what = what

    def remark(self, what: str) -> None:
        """Shows this from now on; where nothing is shown it is noted, once."""
        self._what = what
        if not self._drawn:
            note(f"({what} …)")

    def _draw(self) -> None:
        began = time.monotonic()
        for sign in itertools.cycle(_signs()):
            text = f"{sign} {self._what} … {time.monotonic() - began:.0f} s"
            # One that is longer than the line would leave its beginning behind.
            text = text[: shutil.get_terminal_size().columns - 1]
            print(f"{_TO_THE_LINE_S_BEGINNING}{text}{_CLEARED}", end="", file=sys.stderr, flush=True)
            if self._over.wait(_SECONDS):
                return

    def __enter__(self) -> Waiting:
        if self._drawn:
            self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._drawn:
            self._over.set()
            self._thread.join()
            print(f"{_TO_THE_LINE_S_BEGINNING}{_CLEARED}", end="", file=sys.stderr, flush=True)


def _signs() -> str:
    try:
        _SIGNS.encode(sys.stderr.encoding or "ascii")
    except UnicodeEncodeError:
        return _PLAIN_SIGNS
    return _SIGNS
