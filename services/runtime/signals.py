"""How the operator says stop: SIGTERM or Ctrl-C, and once more to hurry."""

from __future__ import annotations

import asyncio
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
