"""Words are shown while later ones are still being made: by the command, in a pipe and on a terminal."""

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.suite_process import COMMAND, SuiteProcess, environment

StartSuite = Callable[..., SuiteProcess]
PACE = 0.08
TEXT = " ".join(f"word{number}" for number in range(12))


def arrivals(screen: int, chat: "subprocess.Popen[bytes]") -> list[tuple[float, str]]:
    """When it had shown how much, until it ends."""
    shown = ""
    found: list[tuple[float, str]] = []
    while True:
        if select.select([screen], [], [], 0.1)[0]:
            try:
                data = os.read(screen, 65536)
            except OSError:  # the other end of the terminal is closed
                data = b""
            if not data:
                return found
            shown += data.decode()
            found.append((time.monotonic(), shown))
        elif chat.poll() is not None:
            return found


@pytest.mark.long
def test_the_first_word_is_shown_before_the_tenth_is_made(tmp_path: Path, start_suite: StartSuite) -> None:
    suite = start_suite(settings={"ANTIPHON_CHAT__ECHO_INTERVAL_MS": str(int(PACE * 1000))}).up()
    for where in ("pipe", "terminal"):
        hold_pace(tmp_path, suite, where)


def hold_pace(tmp_path: Path, suite: SuiteProcess, where: str) -> None:
    """The command shows words at the pace at which they are made."""
    screen, end = pty.openpty() if where == "terminal" else os.pipe()
    try:
        chat = subprocess.Popen(
            [*COMMAND, "chat", "--server", suite.address, TEXT],
            cwd=tmp_path,
            env=environment(tmp_path) | {"TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            stdout=end,
            stderr=subprocess.PIPE,
        )
        os.close(end)
        found = arrivals(screen, chat)
        assert chat.wait(20) == 0, chat.communicate()[1]
    finally:
        os.close(screen)
    first_shown = next(when for when, text in found if re.search(r"\w", text))
    tenth_shown = next(when for when, text in found if len(re.findall(r"\w+", text)) >= 10)
    last_shown = next(when for when, text in found if "word11" in text)
    # The tenth word is made nine paces after the first one at the earliest, and each was on its way at once.
    assert tenth_shown - first_shown > 5 * PACE
    assert last_shown - first_shown > 15 * PACE
    assert len({text for _, text in found}) > 10
