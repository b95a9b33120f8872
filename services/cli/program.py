"""The program: which command is in which module. Only the module of the command that was called is imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from services.cli.output import CommandFailed, discard_output, reporting

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command is. `group` is the command that it belongs to, empty at the top."""

    name: str
    module: str
    function: str
    group: str = ""
    needs_server: bool = False
    summary: str = ""


COMMANDS = (
    Command("register", "services.cli.accounts", "register"),
    Command("login", "services.cli.accounts", "login"),
    Command("logout", "services.cli.accounts", "logout"),
    Command("whoami", "services.cli.accounts", "whoami"),
    Command("token", "services.cli.accounts", "token"),
    Command("chat", "services.cli.chat", "chat"),
    Command("list", "services.cli.chats", "list_chats", group="chats"),
    Command("show", "services.cli.chats", "show_chat", group="chats"),
    Command("models", "services.cli.models", "models"),
    Command(
        "serve", "services.cli.serve", "serve", needs_server=True, summary="Run the suite, or some of it."
    ),
    Command(
        "migrate",
        "services.cli.migrate",
        "migrate",
        needs_server=True,
        summary="Bring the database's schemas up to date.",
    ),
    Command(
        "doctor",
        "services.cli.doctor",
        "doctor",
        needs_server=True,
        summary="Check settings, database and providers, and say what to do.",
    ),
)
GROUPS = {"chats": "Chat sessions: list them, show one."}


def run() -> None:
    """Runs the command that the arguments name, and exits."""
    try:
        program(sys.argv[1:])(prog_name="antiphon")
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            discard_output()


def program(arguments: list[str]) -> typer.Typer:
    """The program, as far as these arguments need it: one command, or all of them for help and misspelt names."""
    called = next((word for word in arguments if not word.startswith("-")), "")
    top = {command.group or command.name for command in COMMANDS}
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=CONTEXT,
    )
    app.callback()(_root)
    groups: dict[str, typer.Typer] = {}
    for command in COMMANDS:
        if called in top and (command.group or command.name) != called:
            continue
        parent = app
        if command.group:
            if command.group not in groups:
                groups[command.group] = typer.Typer(
                    no_args_is_help=True, rich_markup_mode=None, help=GROUPS[command.group]
                )
                app.add_typer(groups[command.group], name=command.group)
            parent = groups[command.group]
        # Help needs no more of the server's commands than a summary.
        function, settings = (
            _load(command) if called in top or not command.needs_server else _stand_in(command, "")
        )
        parent.command(command.name, **settings)(function)
    return app


def _load(command: Command) -> tuple[Callable[..., object], dict[str, Any]]:
    try:
        return getattr(importlib.import_module(command.module), command.function), {}
    except ModuleNotFoundError as error:
        if not command.needs_server or (error.name or "").split(".")[0] == "services":
            raise
        return _stand_in(command, error.name or "")


def _stand_in(command: Command, missing: str) -> tuple[Callable[..., object], dict[str, Any]]:
    passes_all_on = {"ignore_unknown_options": True, "allow_extra_args": True}

    def without_the_server(context: typer.Context) -> None:
        with reporting(as_json="--json" in context.args):
            raise CommandFailed(
                f"`antiphon {command.name}` needs what the server needs ({missing} is missing)",
                "pip install 'antiphon[server]'",
            )

    return without_the_server, {"help": command.summary, "context_settings": passes_all_on}


def _version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        try:
            version = metadata.version("antiphon")
        except metadata.PackageNotFoundError:
            version = "(not installed)"
        print(f"antiphon {version}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Language models as one gRPC platform: talk to a server, or run one.

    \b
    Example:
      antiphon chat "Why is the sky blue?"
    """
