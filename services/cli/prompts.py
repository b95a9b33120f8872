"""What a command asks the person at the terminal. Where there is none, it says which option answers instead."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from services.cli.output import CommandFailed, shown
from services.cli.texts import is_text, no_text

Password = Annotated[
    str | None,
    typer.Option(
        "--password",
        metavar="TEXT",
        help="The password. Others on this machine may see it; better leave it out and be asked.",
    ),
]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]


def ask_email() -> str:
    """An e-mail. Raises CommandFailed where nobody can be asked."""
    if not sys.stdin.isatty():
        raise CommandFailed("there is no terminal to ask for the e-mail", "antiphon login EMAIL", status=2)
    return _line("E-mail: ").strip()


def ask_password(given: str | None, from_stdin: bool, *, twice: bool = False) -> str:
    """The password that was given, comes from standard input, or is asked for without being shown. Raises CommandFailed."""
    if given is not None and from_stdin:
        raise CommandFailed("--password and --password-stdin exclude each other", status=2)
    if given is not None:
        return given
    if from_stdin:
        return line_of_stdin()
    return new_password("Password: ") if twice else hidden("Password: ")


def new_password(prompt: str) -> str:
    """A password that is typed twice. Raises CommandFailed when the two differ."""
    secret = hidden(prompt)
    if hidden("Again: ") != secret:
        raise CommandFailed("the two passwords differ")
    return secret


def hidden(prompt: str) -> str:
    """What is typed without being shown. Raises CommandFailed where nobody can be asked."""
    if not sys.stdin.isatty():
        raise CommandFailed("there is no terminal to ask for the password", "Use --password-stdin.", status=2)
    return _answer(lambda: getpass.getpass(prompt))


def line_of_stdin() -> str:
    """A line of standard input. Raises CommandFailed when there is none left, or it is no text."""
    try:
        line = sys.stdin.readline()
    except UnicodeDecodeError:
        raise no_text("standard input") from None
    if not is_text(line):
        raise no_text("standard input")
    if not line:
        raise CommandFailed(
            "standard input ended before the password", "Write it on a line of its own.", status=2
        )
    return line.rstrip("\r\n")


def confirm(question: str, *, yes: bool) -> None:
    """Returns when the person agrees, or has done so by `--yes`. Raises CommandFailed."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandFailed("there is no terminal to ask for a confirmation", "Use --yes.", status=2)
    if _line(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise CommandFailed("nothing was changed", reason="NOT_CONFIRMED")


def _line(prompt: str) -> str:
    print(shown(prompt, True), end="", file=sys.stderr, flush=True)
    return _answer(input)


def typed(ask: Callable[[], str]) -> str:
    """What somebody types. Raises EOFError when they end the input, and CommandFailed when it is no text."""
    try:
        text = ask()
    except UnicodeDecodeError:
        raise no_text("what was typed") from None
    if not is_text(text):
        raise no_text("what was typed")
    return text


def _answer(ask: Callable[[], str]) -> str:
    try:
        return typed(ask)
    except EOFError:
        print(file=sys.stderr)
        raise CommandFailed("nothing was typed") from None
