"""Commands that ask: at a terminal, wide and narrow, and with people who leave in the middle."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from antiphon.auth.v1 import auth_pb2

from tests.e2e.terminal import Terminal
from tests.scripted_accounts import ScriptedAccounts

pytestmark = pytest.mark.long

CTRL_C, CTRL_D = "\x03", "\x04"
AtTerminal = Callable[..., Terminal]


@pytest.fixture
def server() -> Iterator[ScriptedAccounts]:
    with ScriptedAccounts() as scripted:
        yield scripted


@pytest.fixture
def environment(server: ScriptedAccounts, tmp_path: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    return clean | {
        "XDG_CONFIG_HOME": str(tmp_path),
        "ANTIPHON_SERVER": server.address,
        "ANTIPHON_TOKEN": "ak_abc_secret",
        "TERM": "xterm",
    }


@pytest.fixture
def at_terminal(environment: dict[str, str]) -> Iterator[AtTerminal]:
    opened: list[Terminal] = []

    def open_one(*arguments: str, columns: int = 80) -> Terminal:
        opened.append(Terminal(environment, *arguments, columns=columns))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.__exit__(None, None, None)


def test_a_deletion_is_confirmed_by_the_person(server: ScriptedAccounts, at_terminal: AtTerminal) -> None:
    server.add_user("ana@example.com")
    for keys, status in (("\n", 1), ("no\n", 1), (CTRL_D, 1), (CTRL_C, 130)):
        asked = at_terminal("users", "delete", "ana@example.com")
        asked.wait_for("[y/N]")
        assert "ana@example.com" in asked.shown
        assert asked.ended(pressing=keys) == status, asked.shown
        assert "Traceback" not in asked.shown
    assert len(server.users) == 1
    agreed = at_terminal("users", "delete", "ana@example.com")
    agreed.wait_for("[y/N]")
    agreed.press("y\n")
    assert agreed.ended() == 0
    assert server.users == []


def test_a_password_is_typed_unseen_and_twice(server: ScriptedAccounts, at_terminal: AtTerminal) -> None:
    changed = at_terminal("password")
    for prompt, typed in (("Current password:", "the old one"), ("New password:", "the new one")):
        changed.wait_for(prompt)
        changed.press(f"{typed}\n")
    changed.wait_for("Again:")
    changed.press("the new one\n")
    assert changed.ended() == 0, changed.shown
    assert "the old one" not in changed.shown
    assert "the new one" not in changed.shown
    request = server.of("ChangePassword")[0].request
    assert isinstance(request, auth_pb2.ChangePasswordRequest)
    assert (request.current_password, request.new_password) == ("the old one", "the new one")

    differs = at_terminal("users", "create", "bo@example.com")
    differs.wait_for("Password:")
    differs.press("one password\n")
    differs.wait_for("Again:")
    differs.press("another one\n")
    assert differs.ended() == 1
    assert "differ" in differs.shown

    for keys, status in ((CTRL_C, 130), (CTRL_D, 1)):
        left = at_terminal("users", "create", "bo@example.com")
        left.wait_for("Password:")
        assert left.ended(pressing=keys) == status, left.shown
        assert "Traceback" not in left.shown
    assert server.of("CreateUser") == []


def test_tables_fit_a_narrow_terminal(server: ScriptedAccounts, at_terminal: AtTerminal) -> None:
    key = server.add_key("ci \x1b[2J\nor not", "chat.write", "chat.read")
    # Whoever reads an id here needs the whole of it for the next command.
    for columns in (40, 100):
        narrow = at_terminal("keys", "list", columns=columns)
        assert narrow.ended() == 0
        assert "\x1b[2J" not in narrow.shown
        assert narrow.shown.startswith(f"{key.api_key_id}\n  name: ci [2J or not\n")
        assert "  scopes: chat.write chat.read" in narrow.shown
    wide = at_terminal("keys", "list", columns=160)
    assert wide.ended() == 0
    assert "SCOPES" in wide.shown
    assert "chat.write chat.read" in wide.shown
    assert key.api_key_id in wide.shown


def test_a_reader_that_goes_away_ends_it_quietly(
    server: ScriptedAccounts, environment: dict[str, str]
) -> None:
    for number in range(50):
        server.add_user(f"{number}@example.com")
    reading, writing = os.pipe()
    os.close(reading)
    for arguments in (("users", "list"), ("keys", "create", "ci", "--scope", "chat.write")):
        done = subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            timeout=30,
            check=False,
        )
        assert done.returncode == 128 + signal.SIGPIPE, done.stderr
        assert "Traceback" not in done.stderr
        assert "BrokenPipe" not in done.stderr
    os.close(writing)
    # Whoever lost the secret still learns which key to rotate.
    assert server.keys[0].api_key_id in done.stderr
