"""`antiphon chat` as a process: live in a pipe and on a terminal, through broken connections, until Ctrl-C."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from antiphon.chat.v1 import chat_pb2

from tests.scripted_server import (
    GENERATION_ID,
    SESSION_ID,
    ScriptedServer,
    answer,
    failing,
    until_the_caller_leaves,
)

pytestmark = pytest.mark.long


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as scripted:
        yield scripted


def environment(home: Path, server: ScriptedServer, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    return clean | {"XDG_CONFIG_HOME": str(home), "ANTIPHON_SERVER": server.address} | more


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "services.cli", "chat", *arguments]


@contextlib.contextmanager
def chatting(home: Path, server: ScriptedServer, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(home, server),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def run(
    home: Path, server: ScriptedServer, *arguments: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(*arguments),
        input=stdin,
        capture_output=True,
        env=environment(home, server),
        timeout=30,
        check=False,
    )


def read(process: subprocess.Popen[str], characters: int) -> str:
    assert process.stdout is not None
    return process.stdout.read(characters)


def test_the_first_word_is_printed_before_the_tenth_is_made(tmp_path: Path, server: ScriptedServer) -> None:
    go_on = threading.Event()
    record = answer([f"word{number} " for number in range(10)])
    server.streams.append([*record[:2], lambda _: go_on.wait(20), *record[2:]])
    with chatting(tmp_path, server, "Hi") as process:
        assert read(process, 6) == "word0 "
        assert not go_on.is_set()
        go_on.set()
        assert read(process, -1) == "word1 word2 word3 word4 word5 word6 word7 word8 word9 \n"
        assert process.wait(10) == 0


def test_options_and_standard_input_reach_the_server(tmp_path: Path, server: ScriptedServer) -> None:
    options = ("--session", SESSION_ID, "--model", "echo", "--system", "Be kind.", "--project", "demo")
    done = run(tmp_path, server, *options, "-", stdin="¿Qué tal?\n".encode())
    assert (done.returncode, done.stdout) == (0, b"Hello, world\n")
    request = server.of("StreamChat")[0].request
    assert isinstance(request, chat_pb2.StreamChatRequest)
    assert (request.message, request.session_id, request.model) == ("¿Qué tal?\n", SESSION_ID, "echo")
    assert (request.system_prompt, request.project) == ("Be kind.", "demo")
    assert run(tmp_path, server, stdin=b"piped").stdout == b"Hello, world\n"
    assert run(tmp_path, server, stdin=b"\xff").returncode == 2


def test_json_is_an_event_per_line(tmp_path: Path, server: ScriptedServer) -> None:
    events = [json.loads(line) for line in run(tmp_path, server, "Hi", "--json").stdout.splitlines()]
    assert [next(key for key in event if key in KINDS) for event in events] == [
        "started",
        "textDelta",
        "textDelta",
        "textDelta",
        "finished",
    ]
    whole = json.loads(run(tmp_path, server, "Hi", "--json", "--no-stream").stdout)
    assert whole["generation"]["text"] == "Hello, world"


KINDS = {"started", "textDelta", "finished"}


def test_without_a_stream_the_answer_comes_whole(tmp_path: Path, server: ScriptedServer) -> None:
    assert run(tmp_path, server, "Hi", "--no-stream").stdout == b"Hello, world\n"
    assert [seen.method for seen in server.calls] == ["Chat"]


def test_a_server_that_restarts_is_no_end(tmp_path: Path, server: ScriptedServer) -> None:
    hold = threading.Event()
    server.streams.append([*server.record[:2], lambda _: hold.wait(20)])
    with chatting(tmp_path, server, "Hi") as process:
        assert read(process, 5) == "Hello"
        server.stop()
        hold.set()
        server.start()
        assert read(process, -1) == ", world\n"
        assert process.wait(10) == 0
    assert server.of("ResumeStream")


def test_a_failure_after_the_first_words_keeps_them(tmp_path: Path, server: ScriptedServer) -> None:
    interrupted = failing(grpc.StatusCode.ABORTED, "GENERATION_INTERRUPTED", "the server stopped")
    server.streams.append([*server.record[:2], interrupted])
    done = run(tmp_path, server, "Hi")
    assert (done.returncode, done.stdout) == (1, b"Hello\n")
    assert b"What you see was kept" in done.stderr


def test_ctrl_c_cancels_the_generation_and_prints_what_was_kept(
    tmp_path: Path, server: ScriptedServer
) -> None:
    record = answer(["one ", "two"], resume_token="secret", reason=chat_pb2.FINISH_REASON_CANCELLED)
    server.record = record
    server.streams.append([*record[:2], until_the_caller_leaves])
    with chatting(tmp_path, server, "Hi") as process:
        assert read(process, 4) == "one "
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert read(process, -1) == "two\n"
        assert process.stderr is not None
        assert "kept" in process.stderr.read()
    request = server.of("CancelGeneration")[0].request
    assert isinstance(request, chat_pb2.CancelGenerationRequest)
    assert (request.generation_id, request.resume_token) == (GENERATION_ID, "secret")


def test_a_second_ctrl_c_breaks_off(tmp_path: Path, server: ScriptedServer) -> None:
    hold, asked = threading.Event(), threading.Event()
    server.streams.append([*server.record[:2], until_the_caller_leaves])

    def never_answers(_: grpc.ServicerContext) -> object:
        asked.set()
        return hold.wait(20)

    server.fail("CancelGeneration", never_answers)
    with chatting(tmp_path, server, "Hi") as process:
        assert read(process, 5) == "Hello"
        process.send_signal(signal.SIGINT)
        assert asked.wait(10)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    hold.set()


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path: Path, server: ScriptedServer) -> None:
    go_on = threading.Event()
    server.record = answer(["first line\n", *["more and more\n"] * 200])
    server.streams.append([*server.record[:2], lambda _: go_on.wait(20), *server.record[2:]])
    with chatting(tmp_path, server, "Hi") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "first line\n"
        process.stdout.close()
        go_on.set()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(10) == 141


def test_a_terminal_shows_words_as_they_come_and_nothing_that_steers_it(
    tmp_path: Path, server: ScriptedServer
) -> None:
    go_on = threading.Event()
    record = answer(["Hola \x1b[31m", "mundo"])
    server.streams.append([*record[:2], lambda _: go_on.wait(20), *record[2:]])
    with terminal(tmp_path, server, "Hi") as (process, screen):
        assert read_until(screen, b"Hola ").endswith(b"Hola ")
        go_on.set()
        assert b"[31mmundo\r\n" in read_until(screen, b"mundo\r\n")
        assert process.wait(10) == 0


def test_a_conversation_goes_on_in_the_context(tmp_path: Path, server: ScriptedServer) -> None:
    server.record = answer(["Hello"], session_id="")
    with terminal(tmp_path, server) as (process, screen):
        read_until(screen, b"> ")
        os.write(screen, b"Hi\n")
        read_until(screen, b"Hello\r\n")
        read_until(screen, b"> ")
        os.write(screen, b"And now?\n")
        read_until(screen, b"Hello\r\n")
        read_until(screen, b"> ")
        os.write(screen, b"\x04")
        assert process.wait(10) == 0
    last = server.of("StreamChat")[-1].request
    assert isinstance(last, chat_pb2.StreamChatRequest)
    assert [message.parts[0].text for message in last.conversation.messages] == ["Hi", "Hello", "And now?"]


@contextlib.contextmanager
def terminal(
    home: Path, server: ScriptedServer, *arguments: str
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(*arguments),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(home, server, TERM="xterm", COLUMNS="40"),
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(screen: int, expected: bytes) -> bytes:
    """What the terminal shows, up to and including `expected`; the test's time limit ends a wait in vain."""
    shown = b""
    while not shown.endswith(expected):
        shown += os.read(screen, 1)
    return shown
