"""What is given to a command and is no text is refused before anything is sent."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli.output import CommandFailed
from services.cli.program import program
from services.cli.prompts import typed
from tests.scripted_accounts import ScriptedAccounts

Antiphon = Callable[..., Result]
# As Python passes on the byte 0xff.
BROKEN = "n\udcff"


@pytest.fixture
def server() -> Iterator[ScriptedAccounts]:
    with ScriptedAccounts() as scripted:
        yield scripted


@pytest.fixture
def antiphon(server: ScriptedAccounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Antiphon:
    monkeypatch.setenv("ANTIPHON_SERVER", server.address)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("ANTIPHON_TOKEN", raising=False)

    def run(*arguments: str, stdin: bytes = b"") -> Result:
        return CliRunner().invoke(
            program(list(arguments)), list(arguments), input=stdin, prog_name="antiphon"
        )

    return run


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("login", "a@example.com", "--password", BROKEN), "--password"),
        (("login", BROKEN, "--password", "x"), "EMAIL"),
        (("register", "a@example.com", "--password", "x", "--display-name", BROKEN), "--display-name"),
        (("keys", "create", BROKEN, "--scope", "chat.write"), "NAME"),
        (("keys", "create", "ci", "--scope", "chat.read", "--scope", BROKEN), "--scope"),
        (("users", "show", BROKEN), "EMAIL_OR_ID"),
        (("users", "create", BROKEN, "--password", "x"), "EMAIL"),
        (("chat", BROKEN), "TEXT"),
        (("whoami", "--server", BROKEN), "--server"),
    ],
)
def test_an_argument_that_is_no_text_is_named(
    antiphon: Antiphon, server: ScriptedAccounts, arguments: tuple[str, ...], what: str
) -> None:
    done = antiphon(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"antiphon: {what} is no UTF-8 text\n"
    told = json.loads(antiphon(*arguments, "--json").stderr)["error"]
    assert (told["code"], told["reason"]) == ("INVALID_ARGUMENT", "INVALID_TEXT")
    assert server.calls == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("login", "a@example.com", "--password-stdin"),
        ("users", "reset-password", "a@example.com", "--password-stdin"),
        ("chat", "-"),
    ],
)
def test_standard_input_that_is_no_text_is_refused(
    antiphon: Antiphon, server: ScriptedAccounts, arguments: tuple[str, ...]
) -> None:
    done = antiphon(*arguments, stdin=b"p\xff\n")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "antiphon: standard input is no UTF-8 text\n"
    assert server.calls == []


def test_what_somebody_types_is_text() -> None:
    assert typed(lambda: "señor") == "señor"
    for ask in (lambda: BROKEN, lambda: b"\xff".decode()):
        with pytest.raises(CommandFailed, match="what was typed is no UTF-8 text"):
            typed(ask)


@pytest.mark.parametrize("token", ["ak_ä", "ak_\udcff", "ak_1 \n ak_2"])
def test_a_token_that_can_be_none_is_refused_and_not_shown(
    antiphon: Antiphon, server: ScriptedAccounts, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("ANTIPHON_TOKEN", token)
    done = antiphon("whoami")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "ANTIPHON_TOKEN is no token" in done.stderr
    assert "ak_" not in done.stderr
    assert server.calls == []
