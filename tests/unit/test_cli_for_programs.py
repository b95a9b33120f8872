"""With `--json` standard error is JSON, line by line; what can't be written or was misspelt is told; exports are UTF-8 and mark what broke off."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from antiphon.chat.v1 import chat_pb2
from typer.testing import CliRunner, Result

from antiphon_client.errors import Unreachable
from services.cli.advice import advice_on, message_of
from services.cli.program import program
from tests.e2e.suite_process import COMMAND, environment
from tests.scripted_server import BROKEN, answer, failing
from tests.scripted_sessions import ASSISTANT, USER, ScriptedSessions

INTERRUPTED = failing(grpc.StatusCode.ABORTED, "GENERATION_INTERRUPTED", "the server stopped")
SESSION = "0198c5a2-0000-7000-8000-0000000000ff"
Antiphon = Callable[..., Result]


@pytest.fixture
def server() -> Iterator[ScriptedSessions]:
    with ScriptedSessions() as scripted:
        yield scripted


@pytest.fixture
def outside(server: ScriptedSessions, tmp_path: Path) -> Mapping[str, str]:
    """What surrounds a process of the command line."""
    return environment(tmp_path) | {"ANTIPHON_SERVER": server.address, "ANTIPHON_TOKEN": "ak_abc_secret"}


@pytest.fixture
def antiphon(outside: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Antiphon:
    for name in ("ANTIPHON_SERVER", "ANTIPHON_TOKEN", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, outside[name])

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(program(list(arguments)), list(arguments), prog_name="antiphon")

    return run


def objects(told: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in told.splitlines()]


def test_an_answer_that_breaks_off_tells_programs_in_json(
    antiphon: Antiphon, server: ScriptedSessions
) -> None:
    record = answer(["one ", "two"])
    server.streams.append([*record[:2], BROKEN])
    server.streams.append([INTERRUPTED])
    told = antiphon("chat", "--json", "Hi")
    assert told.exit_code == 1
    assert [next(iter(each)) for each in objects(told.stderr)] == ["note", "error"]
    assert objects(told.stderr)[1]["error"]["reason"] == "GENERATION_INTERRUPTED"
    assert objects(told.stdout)[1]["textDelta"]["text"] == "one "


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("chats", "list", "--limit", "0"), "--limit"),
        (("chats", "export"), "SESSION"),
        (("chats", "export", SESSION, "--format", "xml"), "xml"),
        (("chats", "bogus"), "bogus"),
        (("chats", "show", "nonsense"), "antiphon chats list"),
        ((), "--json"),
    ],
)
def test_misuse_is_told_to_programs_in_json_and_to_people_in_words(
    antiphon: Antiphon, server: ScriptedSessions, arguments: tuple[str, ...], words: str
) -> None:
    told = antiphon(*arguments, "--json")
    assert (told.exit_code, told.stdout) == (2, "")
    [failure] = objects(told.stderr)
    assert words in failure["error"]["message"]
    assert (failure["error"]["code"], failure["error"]["reason"]) == ("INVALID_ARGUMENT", "USAGE")
    if arguments:
        assert antiphon(*arguments).stderr.startswith("Usage: ")
    assert not server.calls


def test_what_follows_two_dashes_is_no_option(antiphon: Antiphon, server: ScriptedSessions) -> None:
    assert antiphon("chat", "--", "--json").stdout == "You said: --json\n"
    assert antiphon("chats", "bogus", "--", "--json").stderr.startswith("Usage: ")


def test_help_for_programs_is_help(antiphon: Antiphon) -> None:
    told = antiphon("chats", "list", "--json", "--help")
    assert (told.exit_code, told.stderr) == (0, "")
    assert "List chat sessions" in told.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize(
    "arguments",
    [("chat", "Hi"), ("chats", "list"), ("chats", "export", "{session}"), ("--help",), ("chats", "--help")],
)
def test_standard_output_that_is_full_is_told(
    server: ScriptedSessions, outside: Mapping[str, str], arguments: tuple[str, ...]
) -> None:
    session = server.open(title="Sky").session_id
    named = [each.format(session=session) for each in arguments]
    as_json = () if "--help" in arguments else ("--json",)
    for options in {(), as_json}:
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [*COMMAND, *named, *options],
                stdin=subprocess.DEVNULL,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                env=outside,
                timeout=30,
                check=False,
            )
        assert done.returncode == 1
        message = "standard output can't be written: No space left on device"
        if options:
            [failure] = objects(done.stderr)
            assert failure["error"]["message"] == message
        else:
            assert done.stderr == f"antiphon: {message}\n"


def test_an_export_is_utf_8_whatever_the_locale_is(
    server: ScriptedSessions, outside: Mapping[str, str]
) -> None:
    session = server.open(title="Señal").session_id
    server.say(session, USER, "¿Qué 日本?")
    done = subprocess.run(
        [*COMMAND, "chats", "export", session],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**outside, "PYTHONIOENCODING": "latin-1"},
        timeout=30,
        check=True,
    )
    assert "> ¿Qué 日本?" in done.stdout.decode("utf-8")


def test_an_answer_that_is_not_whole_is_marked_wherever_it_is_read(
    antiphon: Antiphon, server: ScriptedSessions
) -> None:
    session = server.open(title="Sky").session_id
    server.say(session, USER, "one")
    server.say(session, ASSISTANT, "half an", generation_id=SESSION)
    server.say(
        session, ASSISTANT, "stopped", generation_id=SESSION, finish_reason=chat_pb2.FINISH_REASON_CANCELLED
    )
    whole = {"generation_id": SESSION, "finish_reason": chat_pb2.FINISH_REASON_STOP}
    server.say(session, ASSISTANT, "whole", **whole)
    server.say(session, ASSISTANT, "written by hand")
    exported = antiphon("chats", "export", session).stdout
    assert (
        "> half an\n\n*(the answer broke off: it was interrupted, or failed; what was made is kept)*\n"
        in exported
    )
    assert "> stopped\n\n*(the answer was cancelled)*\n" in exported
    assert exported.count("*(") == 2
    shown = antiphon("chats", "show", session).stdout
    assert "  half an\n  (the answer broke off" in shown
    assert "  stopped\n  (the answer was cancelled)\n" in shown
    assert shown.count("  (") == 2


def test_a_model_or_a_host_that_is_not_there_is_named(antiphon: Antiphon, server: ScriptedSessions) -> None:
    unknown = failing(
        grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", "no model is called 'x'; ListModels tells", model="x"
    )
    server.fail("StreamChat", unknown)
    told = antiphon("chat", "--model", "x", "Hi")
    assert told.stderr == "antiphon: there is no model x\n  `antiphon models` lists the models.\n"
    nowhere = Unreachable("away.example:1 can't be reached: … Domain name not found")
    assert "no address is known" in message_of(nowhere, "away.example:1")
    assert "make run" not in advice_on(nowhere, "away.example:1")
    assert "make run" in advice_on(Unreachable("it can't be reached: refused"), "away.example:1")
