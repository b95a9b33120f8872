"""What the operator says: SIGTERM or Ctrl-C to stop, once more to hurry, and SIGHUP to read files again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Stop:
    """What the operator asked for."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self.hurried = asyncio.Event()

    def ask(self) -> None:
        """The first time, ask for an end; the second time, for a quick one."""
        (self.hurried if self.requested.is_set() else self.requested).set()

    @contextmanager
    def by_signals(self) -> Iterator[None]:
        """Listen to SIGTERM and SIGINT while the block runs."""
        loop = asyncio.get_running_loop()
        heard = (signal.SIGTERM, signal.SIGINT)
        for number in heard:
            loop.add_signal_handler(number, self.ask)
        try:
            yield
        finally:
            for number in heard:
                loop.remove_signal_handler(number)


class Reload:
    """That files are to be read again. Being asked again before that was done is being asked once."""

    def __init__(self) -> None:
        self.requested = asyncio.Event()

    @contextmanager
    def by_signal(self, stop: Stop) -> Iterator[None]:
        """Listen to SIGHUP while the block runs, where there is such a signal.

        It is also what a terminal says that is closed. That still ends what was started in it, by way of `stop`, unless SIGHUP was
        ignored from the start, as under nohup.
        """
        number: int | None = getattr(signal, "SIGHUP", None)
        if number is None:
            yield
            return
        ends_with_terminal = _has_terminal() and signal.getsignal(number) is not signal.SIG_IGN

        def heard() -> None:
            if not ends_with_terminal or _has_terminal():
                self.requested.set()
            elif not stop.requested.is_set():
                stop.ask()

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(number, heard)
        try:
            yield
        finally:
            loop.remove_signal_handler(number)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
