"""Ctrl-C at a terminal, and what changes beneath a conversation: the login, the chat session, the server."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from antiphon.chat.v1 import chat_pb2

from antiphon_client import Tokens
from services.cli.credentials import CredentialsFile
from tests.e2e.suite_process import COMMAND, environment
from tests.e2e.terminal import Terminal
from tests.scripted_server import GENERATION_ID, access_token, answer, failing, until_the_caller_leaves
from tests.scripted_sessions import ScriptedSessions

pytestmark = pytest.mark.long

CTRL_C, CTRL_D = "\x03", "\x04"


@pytest.fixture
def server() -> Iterator[ScriptedSessions]:
    with ScriptedSessions() as scripted:
        yield scripted


_SECONDS = 30.0


class Seat:
    """Somebody at a terminal, with what is kept on their machine."""

    def __init__(self, folder: Path, server: ScriptedSessions, *arguments: str, token: str = "") -> None:
        self.environment = environment(folder) | {"ANTIPHON_SERVER": server.address, "TERM": "xterm"}
        if token:
            self.environment["ANTIPHON_TOKEN"] = token
        self.store = CredentialsFile(server.address, folder / "config" / "antiphon" / "credentials.json")
        self._arguments = arguments

    def __enter__(self) -> "Seat":
        self.terminal = Terminal(self.environment, "chat", *self._arguments)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.terminal.__exit__(None, None, None)

    @property
    def shown(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", self.terminal.shown)

    def sees(self, pattern: str, after: int = 0) -> str:
        """Waits for it; what was shown after the position `after`."""
        end = time.monotonic() + _SECONDS
        while re.search(pattern, self.shown[after:]) is None:
            assert self.terminal._read(), self.terminal.shown
            assert time.monotonic() < end, self.terminal.shown
        return self.shown[after:]

    def types(self, line: str, until: str) -> str:
        """Types a line at the prompt; what is shown until this comes, and the next prompt."""
        self.sees(r"(^|\n)> $")
        begin = len(self.shown)
        # As a person does: readline may keep an Enter that comes in one piece with the line until the next key.
        self.terminal.press(line)
        self.sees(rf"> {re.escape(line)}$", begin - 2)
        self.terminal.press("\r")
        return self.sees(rf"(?s){until}.*\n> $", begin)

    def presses_ctrl_c(self, until: str) -> str:
        """Ctrl-C, once more when it came in the instant between two waits for a key; what is shown until this comes."""
        begin, pressed, end = len(self.shown), 0.0, time.monotonic() + _SECONDS
        while re.search(until, self.shown[begin:]) is None:
            if time.monotonic() > pressed + 2:
                self.terminal.press(CTRL_C)
                pressed = time.monotonic()
            assert self.terminal._read(), self.terminal.shown
            assert time.monotonic() < end, self.terminal.shown
        return self.shown[begin:]

    def leaves(self) -> str:
        """Ctrl-D; what is shown then."""
        self.sees(r"(^|\n)> $")
        begin = len(self.shown)
        assert self.terminal.ended(pressing=CTRL_D) == 0
        return self.shown[begin:]


def test_a_conversation_whose_login_went_away_does_not_go_on_as_nobody(
    tmp_path: Path, server: ScriptedSessions
) -> None:
    with Seat(tmp_path, server) as ana:
        pass
    tokens = Tokens(access_token=access_token("ana"), refresh_token="rt")
    ana.store.save(tokens)
    with ana:
        ana.sees(r"\n> $")
        ana.store.save(None)
        told = ana.types("my name is Bob", "antiphon login")
        assert "you were logged out" in told
        assert "You said" not in told
        assert not server.asked
        ana.store.save(tokens)
        ana.types("my name is Bob", "You said: my name is Bob")
        ana.store.save(None)
        for line in ("second", "/history", "/retry", "/title Sky"):
            assert "you were logged out" in ana.types(line, "antiphon login")
        assert len(server.asked) == 1
        assert f"log in, then: antiphon chat --session {server.sessions[0].session_id}" in ana.leaves()


def test_a_chat_session_that_is_deleted_elsewhere_is_left_by_new(
    tmp_path: Path, server: ScriptedSessions
) -> None:
    with Seat(tmp_path, server, token="ak_1_secret") as ana:
        ana.types("one", "You said: one")
        server.sessions.clear()
        missing = failing(
            grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "not found", resource=("chat.session", "gone")
        )
        server.fail("StreamChat", missing)
        for line in ("two", "/session"):
            told = ana.types(line, "there is no chat session")
            assert "/new begins a new conversation" in told
            assert "chats list" not in told
        assert "antiphon chat --session" not in ana.leaves()


def test_what_failed_is_asked_again_and_a_command_is_not(tmp_path: Path, server: ScriptedSessions) -> None:
    away = failing(grpc.StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE", "the provider is away")
    with Seat(tmp_path, server, token="ak_1_secret") as ana:
        ana.types("one", "You said: one")
        server.stop()
        assert "/retry" not in ana.types("/model", "no server answers")
        assert "/retry asks again" in ana.types("two", "no server answers")
        server.start()
        server.fail("StreamChat", *[away] * 3)
        # The connection may take a while to notice that the server is back.
        told = ""
        while "the provider is away" not in told:
            told = ana.types("/retry", "(the provider is away|no server answers)")
            assert "/retry asks again" in told


def test_ctrl_c_leaves_only_where_nothing_was_typed(tmp_path: Path, server: ScriptedSessions) -> None:
    with Seat(tmp_path, server) as ana:
        for typed in ("abc", "def a different line"):
            ana.sees(r"\n> $")
            ana.terminal.press(typed)
            ana.sees(rf"> {typed}$")
            ana.presses_ctrl_c(r"leaves\)\n> $")
        ana.terminal.press('"""\rfirst\r')
        ana.sees(r"first\n\.\.\. $")
        ana.presses_ctrl_c(r"leaves\)\n> $")
        assert ana.terminal.ended(pressing=CTRL_C) == 0
    assert not server.asked


def test_ctrl_c_says_what_became_of_the_answer_on_a_line_of_its_own(
    tmp_path: Path, server: ScriptedSessions
) -> None:
    cancelled = answer([], session_id="", reason=chat_pb2.FINISH_REASON_CANCELLED)
    with Seat(tmp_path, server) as ana:
        server.streams.append([cancelled[0], until_the_caller_leaves])
        server.streams.append(cancelled[1:])
        _interrupted(ana, server, r"\n\(cancelled; nothing was written yet\)\n")
        server.streams.append([cancelled[0], until_the_caller_leaves])
        away = failing(grpc.StatusCode.INTERNAL, "INTERNAL", "it failed")
        server.fail("CancelGeneration", away)
        _interrupted(ana, server, r"\nantiphon: the answer could not be cancelled: it failed\n")


def test_ctrl_c_before_the_server_has_said_anything_is_told(tmp_path: Path, server: ScriptedSessions) -> None:
    with Seat(tmp_path, server) as ana:
        server.streams.append([until_the_caller_leaves])
        _interrupted(ana, server, r"\n\(broken off before an answer began\)\n")
        assert "> what?\nYou said: what?" in ana.types("/retry", "You said")


def _interrupted(ana: Seat, server: ScriptedSessions, told: str) -> None:
    ana.sees(r"(^|\n)> $")
    before, begin = len(server.asked), len(ana.shown)
    ana.terminal.press("what?\r")
    while len(server.asked) == before:
        ana.terminal._read()
    ana.presses_ctrl_c(told)
    assert "^C(" not in ana.sees(r"\n> $", begin)


def test_a_key_that_may_only_write_sees_the_rest_of_what_it_cancels(
    tmp_path: Path, server: ScriptedSessions
) -> None:
    server.record = answer(["one ", "two"], reason=chat_pb2.FINISH_REASON_CANCELLED)
    refused = failing(
        grpc.StatusCode.PERMISSION_DENIED, "SCOPE_REQUIRED", "lacks the scope chat.read", scope="chat.read"
    )
    for arguments, rest in (((), "one two\n"), (("--json",), "")):
        server.streams.append([*server.record[:2], until_the_caller_leaves])
        server.fail("ResumeStream", refused)
        process = subprocess.Popen(
            [*COMMAND, "chat", "Hi", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(tmp_path) | {"ANTIPHON_SERVER": server.address, "ANTIPHON_TOKEN": "ak_1_secret"},
        )
        with process:
            assert process.stdout is not None
            assert process.stderr is not None
            seen = ""
            while "one" not in seen:
                seen += process.stdout.read(1)
            process.send_signal(2)
            assert process.wait(20) == 130
            seen += process.stdout.read()
            told = process.stderr.read()
        assert "could not be cancelled" not in told
        if rest:
            assert (seen, told) == (rest, "(cancelled; what was written is kept)\n")
        else:
            assert "cancelled" in json.loads(told)["note"]
    assert {seen.request.generation_id for seen in server.of("CancelGeneration")} == {  # type: ignore[attr-defined]
        GENERATION_ID
    }
