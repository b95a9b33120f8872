"""Commands as processes of their own: what they print, where, and how they exit."""

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from antiphon.chat.v1 import chat_pb2

from tests.scripted_server import MESSAGE_ID, SESSION_ID, ScriptedServer, failing

pytestmark = pytest.mark.long


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as scripted:
        yield scripted


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def environment(home: Path, server: str, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    return clean | {"XDG_CONFIG_HOME": str(home), "ANTIPHON_SERVER": server, "COLUMNS": "100"} | more


def antiphon(
    home: Path, server: str, *arguments: str, stdin: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=environment(home, server, **more),
        timeout=30,
        check=False,
    )


def log_in(home: Path, server: ScriptedServer) -> None:
    done = antiphon(home, server.address, "login", "ana@example.com", "--password", "correct horse")
    assert (done.returncode, done.stdout) == (0, "logged in as ana@example.com\n"), done.stderr


def test_an_account_from_registration_to_logout(home: Path, server: ScriptedServer) -> None:
    done = antiphon(
        home, server.address, "register", "ana@example.com", "--password-stdin", stdin="correct horse\n"
    )
    assert done.returncode == 0, done.stderr
    assert "antiphon login ana@example.com" in done.stdout

    assert antiphon(home, server.address, "whoami").returncode == 1
    log_in(home, server)
    path = home / "antiphon" / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    done = antiphon(home, server.address, "whoami", "--json")
    assert json.loads(done.stdout)["email"] == "ana@example.com"
    assert server.calls[-1].token in server.valid_tokens

    done = antiphon(home, server.address, "token")
    assert done.stdout.removesuffix("\n") in server.valid_tokens

    done = antiphon(home, server.address, "logout")
    assert (done.returncode, done.stdout) == (0, "logged out\n")
    assert server.of("Logout")
    done = antiphon(home, server.address, "token")
    assert (done.returncode, done.stdout) == (1, "")
    assert "antiphon login" in done.stderr


def test_processes_that_renew_at_once_keep_the_session(home: Path, server: ScriptedServer) -> None:
    log_in(home, server)
    path = home / "antiphon" / "credentials.json"
    kept = json.loads(path.read_text())
    kept["servers"][server.address]["access_token_expire_time"] = time.time() - 1
    path.write_text(json.dumps(kept))
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "services.cli", "token"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(home, server.address),
        )
        for _ in range(3)
    ]
    printed = {process.communicate(timeout=30)[0].strip() for process in running}
    assert printed == server.valid_tokens
    assert len(server.of("RefreshToken")) == 1


def test_a_token_in_the_environment_stands_in_for_a_login(home: Path, server: ScriptedServer) -> None:
    done = antiphon(home, server.address, "whoami", ANTIPHON_TOKEN="ak_1_secret")
    assert done.returncode == 0
    assert server.calls[-1].token == "ak_1_secret"
    server.fail("GetProfile", failing(grpc.StatusCode.UNAUTHENTICATED, "API_KEY_INVALID", "no such key"))
    done = antiphon(home, server.address, "whoami", ANTIPHON_TOKEN="ak_1_secret")
    assert done.returncode == 1
    assert "ANTIPHON_TOKEN is not accepted" in done.stderr


def test_a_session_that_has_ended_is_no_anonymous_caller(home: Path, server: ScriptedServer) -> None:
    log_in(home, server)
    server.valid_tokens = {"another"}
    server.fail(
        "RefreshToken", failing(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED", "the session was revoked")
    )
    done = antiphon(home, server.address, "chat", "Hi")
    assert done.returncode == 1
    assert "has ended" in done.stderr
    assert "antiphon login" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("login", "ana@example.com", "--password", "wrong"), "e-mail or password is wrong"),
        (("login", "ana@example.com"), "--password-stdin"),
        (("login", "a@b.c", "--password", "x", "--password-stdin"), "exclude each other"),
        (("chat", "   "), "nothing to ask"),
        (("chats", "show", SESSION_ID), "was not found"),
        (("models", "--server", "nowhere"), "is no address"),
        (("models", "--server", "127.0.0.1:1"), "make run"),
    ],
)
def test_failures_take_a_line_or_two(
    home: Path, server: ScriptedServer, arguments: tuple[str, ...], expected: str
) -> None:
    done = antiphon(home, server.address, *arguments)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert "Traceback" not in done.stderr


def test_programs_get_failures_as_json(home: Path, server: ScriptedServer) -> None:
    server.fail(
        "ListModels",
        failing(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", "too many calls", retry_after=30),
    )
    done = antiphon(home, server.address, "models", "--json")
    error = json.loads(done.stderr)["error"]
    assert (done.returncode, done.stdout) == (1, "")
    assert (error["code"], error["reason"], error["retryAfter"]) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED", 30)
    assert error["requestId"] == server.calls[0].metadata["x-request-id"]


def test_models_show_which_are_ready_and_why_not(home: Path, server: ScriptedServer) -> None:
    server.models = [
        chat_pb2.Model(name="echo", provider="echo", ready=True, description="repeats what it hears"),
        chat_pb2.Model(name="gpt-4o", provider="openai", not_ready_reason="set OPENAI_API_KEY"),
    ]
    done = antiphon(home, server.address, "models")
    assert done.stdout.splitlines() == [
        "echo *\tready\techo\t\t\t\trepeats what it hears",
        "gpt-4o\tnot ready\topenai\t\t\t\tset OPENAI_API_KEY",
    ]
    catalog = json.loads(antiphon(home, server.address, "models", "--json").stdout)
    assert [model["ready"] for model in catalog["models"]] == [True, False]


def test_chats_are_listed_and_shown_oldest_message_first(home: Path, server: ScriptedServer) -> None:
    log_in(home, server)
    server.sessions = [
        chat_pb2.Session(session_id=SESSION_ID if number == 0 else f"other-{number}", title=f"Trip {number}")
        for number in range(30)
    ]
    said = [(chat_pb2.MESSAGE_ROLE_ASSISTANT, "Hello\nAna"), (chat_pb2.MESSAGE_ROLE_USER, "Hi")]
    server.messages = [
        chat_pb2.Message(message_id=MESSAGE_ID, role=role, parts=[chat_pb2.Part(text=text)])
        for role, text in said
    ]
    lines = antiphon(home, server.address, "chats", "list", "--limit", "25").stdout.splitlines()
    assert len(lines) == 25
    assert lines[0].split("\t")[0] == SESSION_ID
    shown = antiphon(home, server.address, "chats", "show", SESSION_ID).stdout
    assert shown.index("Hi") < shown.index("  Hello\n  Ana")
    parsed = json.loads(
        antiphon(home, server.address, "chats", "show", SESSION_ID, "--json", "--limit", "1").stdout
    )
    assert [message["role"] for message in parsed["messages"]] == ["MESSAGE_ROLE_ASSISTANT"]


@pytest.mark.parametrize(
    "command",
    [
        "register",
        "login",
        "logout",
        "whoami",
        "token",
        "chat",
        "chats list",
        "chats show",
        "models",
        "migrate",
    ],
)
def test_every_command_has_help_with_an_example_and_json(home: Path, command: str) -> None:
    done = antiphon(home, "127.0.0.1:1", *command.split(), "--help", COLUMNS="40")
    assert done.returncode == 0, done.stderr
    assert "Example" in done.stdout
    assert "--json" in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 80


def test_a_misspelt_command_is_a_usage_error(home: Path) -> None:
    done = antiphon(home, "127.0.0.1:1", "chatt")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert antiphon(home, "127.0.0.1:1", "--version").stdout.startswith("antiphon ")


def test_server_commands_say_what_to_install(home: Path) -> None:
    block = "import sys; sys.modules['psycopg'] = None; sys.argv[1:] = ['migrate', '--json', '--status']"
    done = subprocess.run(
        [sys.executable, "-c", f"{block}; from services.cli import main; main()"],
        capture_output=True,
        text=True,
        env=environment(home, "127.0.0.1:1"),
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert json.loads(done.stderr)["error"]["advice"].startswith("pip install 'antiphon[server]'")
