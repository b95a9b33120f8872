"""The command that runs, for advice that names it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar

called: ContextVar[str] = ContextVar("called", default="")
"""What was typed after `antiphon` to call it, such as `usage watch`; empty where no command runs."""


def named(command: Callable[..., object], words: str) -> Callable[..., object]:
    """The command, which runs under its name."""

    @functools.wraps(command)
    def running(**values: object) -> object:
        earlier = called.set(words)
        try:
            return command(**values)
        finally:
            called.reset(earlier)

    return running
