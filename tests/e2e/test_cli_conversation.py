"""`antiphon chat` as a conversation at a real terminal, with a real suite: models, forks, Ctrl-C, and a server that dies meanwhile."""

import json
import re
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.suite_process import COMMAND, SuiteProcess, environment
from tests.e2e.terminal import Terminal

StartSuite = Callable[..., SuiteProcess]
CTRL_C, CTRL_D = "\x03", "\x04"
LONG = " ".join(str(number) for number in range(400))
ID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}"

pytestmark = pytest.mark.long


class Person:
    """Somebody at a terminal, who reads what is shown from top to bottom."""

    def __init__(self, folder: Path, suite: SuiteProcess, token: str, *arguments: str, columns: int) -> None:
        self.environment = environment(folder) | {
            "ANTIPHON_SERVER": suite.address,
            "ANTIPHON_TOKEN": token,
            "TERM": "xterm",
        }
        self.terminal = Terminal(self.environment, "chat", *arguments, columns=columns)
        self._read = 0

    def sees(self, pattern: str) -> str:
        """Waits for this, after what was seen last; what is shown up to its end."""
        while (found := re.compile(pattern).search(self.plain, self._read)) is None:
            assert self.terminal.process.poll() is None or self.terminal._read(), self.plain
            self.terminal._read()
        begin, self._read = self._read, found.end()
        return self.plain[begin : found.end()]

    def interrupts(self, pattern: str) -> None:
        """Presses Ctrl-C at the prompt, and once more when that came in the instant between two waits for a key; sees this."""
        shown, pressed = self.plain, 0.0
        while re.search(pattern, self.plain[self._read :]) is None:
            if self.plain == shown and time.monotonic() > pressed + 2:
                self.terminal.press(CTRL_C)
                pressed = time.monotonic()
            self.terminal._read()
        self.sees(pattern)

    def types(self, line: str) -> None:
        """A line, at the prompt."""
        self.sees(r"(^|\n)> ")
        # As a person does: readline may keep an Enter that comes in one piece with the line until the next key.
        begin = len(self.terminal.shown)
        self.terminal.press(line)
        until = time.monotonic() + 5
        while len(self.terminal.shown) < begin + len(line) and time.monotonic() < until:
            self.terminal._read()
        self.terminal.press("\r")

    @property
    def plain(self) -> str:
        """What is shown, without what steers the terminal."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", self.terminal.shown)


@pytest.fixture
def sit_down(tmp_path: Path) -> Iterator[Callable[..., Person]]:
    people: list[Person] = []

    def one(suite: SuiteProcess, token: str, *arguments: str, columns: int = 80) -> Person:
        people.append(Person(tmp_path, suite, token, *arguments, columns=columns))
        return people[-1]

    yield one
    for person in people:
        person.terminal.__exit__(None, None, None)


def antiphon(person: Person, *arguments: str) -> str:
    done = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        env=person.environment,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_conversation_with_models_forks_and_ctrl_c(
    tmp_path: Path, start_suite: StartSuite, sit_down: Callable[..., Person]
) -> None:
    suite = start_suite().up()
    ana = sit_down(suite, suite.register())
    ana.types("/model")
    ana.sees(r"echo \*")
    ana.types("/modle echo")
    ana.sees("Did you mean /model?")
    ana.types("first question")
    ana.sees("You wrote: first question")
    ana.types("second question")
    ana.sees("You wrote: second question")
    ana.types("/fork 1")
    fork = re.findall(ID, ana.sees(rf"fork {ID}"))[-1]
    ana.types("other question")
    ana.sees("You wrote: other question")
    ana.types("/title The fork")
    ana.sees("renamed")

    # The answer ends, the program does not.
    ana.types(LONG)
    ana.sees("You wrote: 0 1 2 3 4 5 ")
    ana.terminal.press(CTRL_C)
    ana.sees(r"\(cancelled; what was written is kept\)")
    ana.types("/session")
    ana.sees("title +The fork")
    ana.sees("> ")
    ana.terminal.press("half a line")
    ana.sees("half a line")
    ana.interrupts("leaves")
    ana.sees("> ")
    ana.terminal.press(CTRL_D)
    ana.sees(rf"antiphon chat --session {fork}")
    assert ana.terminal.ended() == 0

    exported = json.loads(antiphon(ana, "chats", "export", fork, "--format", "json"))
    said = [(each["role"], each["parts"][0]["text"]) for each in exported["messages"]]
    assert [text for role, text in said if role == "MESSAGE_ROLE_USER"] == [
        "first question",
        "other question",
        LONG,
    ]
    assert exported["messages"][-1]["finishReason"] == "FINISH_REASON_CANCELLED"
    assert len(said[-1][1]) < len(LONG)
    assert stat.S_IMODE((tmp_path / "config" / "antiphon" / "chat_history").stat().st_mode) == 0o600

    # Whoever goes on is reminded, also where there is little room, and finds what was typed before.
    again = sit_down(suite, ana.environment["ANTIPHON_TOKEN"], "--session", fork, columns=40)
    again.sees("The fork")
    again.sees("> other question")
    again.sees("/help lists the commands.")
    again.sees("\n> ")
    again.terminal.press("\x1b[A\x1b[A")
    again.sees("397")
    again.interrupts("leaves")
    again.sees("> ")
    assert again.terminal.ended(pressing=CTRL_C) == 0


def test_a_server_that_is_killed_beneath_an_answer_comes_back_beneath_it(
    tmp_path: Path, start_suite: StartSuite, sit_down: Callable[..., Person]
) -> None:
    suite = start_suite().up()
    ana = sit_down(suite, suite.register(), columns=40)
    ana.types("hello")
    ana.sees("You wrote: hello")
    ana.types(LONG)
    ana.sees("You wrote: 0 1 2 3 4 5 ")
    suite.kill()
    ana.sees("the connection was lost; resuming")
    later = start_suite(folder=tmp_path, data_dir=suite.data_dir, port=suite.port).up()
    ana.sees("What you see was kept; /retry asks again.")
    shown = ana.plain
    session = re.findall(ID, antiphon(ana, "chats", "list").splitlines()[0])[0]
    exported = json.loads(antiphon(ana, "chats", "export", session, "--json"))
    assert antiphon(ana, "chats", "show", session).count("(the answer broke off") == 1
    kept = exported["messages"][-1]["parts"][0]["text"].strip()
    # What is on the terminal is what is on record, once.
    answer = shown[shown.rindex("This is echo") :].partition("antiphon:")[0]
    answer = answer.replace("(the connection was lost; resuming …)", "")
    assert answer.split() == kept.split()
    ana.types("/retry")
    ana.sees(ID)
    ana.sees("You wrote: 0 1 2 3 4 5 ")
    ana.terminal.press(CTRL_C)
    ana.sees("cancelled")
    ana.types("/quit")
    assert ana.terminal.ended() == 0
    assert later.process.poll() is None
