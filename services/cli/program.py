"""The program: which command is in which module. Only the module of the command that was called is imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from services.cli.called import named
from services.cli.command_groups import AlsoCommand, PlainCommand
from services.cli.misuse import ProgramForPrograms, wants_json
from services.cli.output import BROKEN_PIPE, discard_output, reporting, server_missing, tell_unwritable
from services.cli.texts import with_texts

HELP = ["-h", "--help"]
CONTEXT = {"help_option_names": HELP, "max_content_width": 100}


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command is. `group` is the command that it belongs to, empty at the top."""

    name: str
    module: str
    function: str
    group: str = ""
    needs_server: bool = False
    summary: str = ""

    @property
    def words(self) -> list[str]:
        """What is typed after `antiphon`."""
        return [self.group, self.name] if self.group else [self.name]

    @property
    def is_group(self) -> bool:
        """Whether other commands belong to it."""
        return not self.group and self.name in GROUPS


COMMANDS = (
    Command("register", "services.cli.accounts", "register"),
    Command("login", "services.cli.accounts", "login"),
    Command("logout", "services.cli.accounts", "logout"),
    Command("whoami", "services.cli.accounts", "whoami"),
    Command("token", "services.cli.accounts", "token"),
    Command("password", "services.cli.accounts", "password"),
    Command("list", "services.cli.users", "list_users", group="users"),
    Command("show", "services.cli.users", "show_user", group="users"),
    Command("create", "services.cli.users", "create_user", group="users"),
    Command("set-role", "services.cli.users", "set_role", group="users"),
    Command("disable", "services.cli.users", "disable_user", group="users"),
    Command("enable", "services.cli.users", "enable_user", group="users"),
    Command("delete", "services.cli.users", "delete_user", group="users"),
    Command("audit", "services.cli.users", "audit", group="users"),
    Command(
        "reset-password",
        "services.cli.reset_password",
        "reset_password",
        group="users",
        needs_server=True,
        summary="Give a person a new password, on the server.",
    ),
    Command("list", "services.cli.logins", "list_logins", group="logins"),
    Command("revoke", "services.cli.logins", "revoke_login", group="logins"),
    Command("create", "services.cli.keys", "create_key", group="keys"),
    Command("list", "services.cli.keys", "list_keys", group="keys"),
    Command("rotate", "services.cli.keys", "rotate_key", group="keys"),
    Command("revoke", "services.cli.keys", "revoke_key", group="keys"),
    Command("chat", "services.cli.chat", "chat"),
    Command("list", "services.cli.chats", "list_chats", group="chats"),
    Command("show", "services.cli.chats", "show_chat", group="chats"),
    Command("export", "services.cli.chat_export", "export_chat", group="chats"),
    Command("search", "services.cli.chats", "search_chats", group="chats"),
    Command("fork", "services.cli.chats", "fork_chat", group="chats"),
    Command("rename", "services.cli.chats", "rename_chat", group="chats"),
    Command("archive", "services.cli.chats", "archive_chat", group="chats"),
    Command("delete", "services.cli.chats", "delete_chat", group="chats"),
    Command("models", "services.cli.models", "models"),
    Command("generate", "services.cli.image_generate", "generate_image", group="image"),
    Command("list", "services.cli.image", "list_images", group="image"),
    Command("get", "services.cli.image", "get_image", group="image"),
    Command("delete", "services.cli.image", "delete_image", group="image"),
    Command("models", "services.cli.image_models", "image_models", group="image"),
    Command(
        "reindex",
        "services.cli.image_reindex",
        "reindex_images",
        group="image",
        needs_server=True,
        summary="Make the index anew from the objects, on the server.",
    ),
    Command("say", "services.cli.speech_say", "say", group="speech"),
    Command("voices", "services.cli.speech_catalog", "voices", group="speech"),
    Command("models", "services.cli.speech_catalog", "speech_models", group="speech"),
    Command("list", "services.cli.speech", "list_conversions", group="speech"),
    Command("get", "services.cli.speech", "get_conversion", group="speech"),
    Command("delete", "services.cli.speech", "delete_conversion", group="speech"),
    Command("usage", "services.cli.usage", "usage"),
    Command("watch", "services.cli.usage_watch", "watch_usage", group="usage"),
    Command("export", "services.cli.usage_export", "export_usage", group="usage"),
    Command("reconcile", "services.cli.usage_reconcile", "reconcile", group="usage"),
    Command("rejected", "services.cli.usage_rejected", "rejected", group="usage"),
    Command("prices", "services.cli.prices", "prices"),
    Command("set", "services.cli.prices", "set_price", group="prices"),
    Command(
        "serve", "services.cli.serve", "serve", needs_server=True, summary="Run the suite, or some of it."
    ),
    Command(
        "health",
        "services.cli.health",
        "health",
        summary="Ask a server whether it is ready.",
    ),
    Command(
        "migrate",
        "services.cli.migrate",
        "migrate",
        needs_server=True,
        summary="Bring the database's schemas up to date.",
    ),
    Command(
        "list",
        "services.cli.signing_keys",
        "list_signing_keys",
        group="signing-keys",
        needs_server=True,
        summary="List the keys that access tokens are signed with.",
    ),
    Command(
        "rotate",
        "services.cli.signing_keys",
        "rotate",
        group="signing-keys",
        needs_server=True,
        summary="Have the next key sign.",
    ),
    Command(
        "doctor",
        "services.cli.doctor",
        "doctor",
        needs_server=True,
        summary="Check settings, database and providers, and say what to do.",
    ),
)
GROUPS = {
    "chats": "Chat sessions: list, show, export, search, fork, rename, archive, delete them.",
    "image": "Images: make, list, fetch, delete them; the models that make them.",
    "keys": "API keys for programs: make, list, rotate, revoke them.",
    "logins": "Login sessions: list them, end one.",
    "prices": "What models cost: list the prices; administrators set them.",
    "signing-keys": "Keys that access tokens are signed with, on the server: list them, rotate them.",
    "speech": "Speech: have texts spoken, list, fetch, delete them; the voices and models that speak.",
    "usage": "What was used, how fast it was and what it cost: show it, watch it, export it; reconcile the books.",
    "users": "Accounts, for administrators: list, make, change, delete them.",
}


def run() -> None:
    """Runs the command that the arguments name, and exits."""
    arguments = sys.argv[1:]
    try:
        try:
            program(arguments)(prog_name="antiphon")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
        sys.exit(BROKEN_PIPE)
    except OSError as error:
        if not tell_unwritable(error, wants_json(arguments)):
            raise
        sys.exit(1)


def program(arguments: list[str]) -> typer.Typer:
    """The program, as far as these arguments need it: one command, or all of them for help and misspelt names."""
    app = typer.Typer(
        cls=ProgramForPrograms if wants_json(arguments) else TyperGroup,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=CONTEXT,
    )
    app.callback()(_root)
    exact = _exact(arguments)
    groups: dict[str, typer.Typer] = {}
    for command in _needed(arguments, exact):
        # Help needs no more of the server's commands than a summary.
        function, settings = (
            _load(command) if command is exact or not command.needs_server else _stand_in(command, "")
        )
        checked = named(with_texts(function), " ".join(command.words))
        if command.is_group:
            _group(app, groups, command.name, function.__doc__).callback(
                cls=AlsoCommand,
                invoke_without_command=True,
                no_args_is_help=False,
                subcommand_metavar="[COMMAND]",
            )(checked)
            continue
        parent = _group(app, groups, command.group, GROUPS[command.group]) if command.group else app
        parent.command(command.name, cls=PlainCommand, short_help=_summary(command, function), **settings)(
            checked
        )
    return app


def _exact(arguments: list[str]) -> Command | None:
    """The command that these arguments begin with, the longest one."""
    named = (each for each in COMMANDS if each.words == arguments[: len(each.words)])
    return max(named, key=lambda each: len(each.words), default=None)


def _needed(arguments: list[str], exact: Command | None) -> list[Command]:
    if exact is not None and not (exact.is_group and _looks_for_more(arguments, exact)):
        return [exact]
    called = next((word for word in arguments if not word.startswith("-")), "")
    if called not in {command.words[0] for command in COMMANDS}:
        return list(COMMANDS)
    return [command for command in COMMANDS if command.words[0] == called]


def _looks_for_more(arguments: list[str], exact: Command) -> bool:
    """Whether a command that is a group, too, needs the others of the group: for its help, or to tell that one of them was misspelt or put
    behind options."""
    rest = arguments[1:]
    named = {command.name for command in COMMANDS if command.group == exact.name}
    return bool(rest) and (not rest[0].startswith("-") or not named.union(HELP).isdisjoint(rest))


def _group(app: typer.Typer, groups: dict[str, typer.Typer], name: str, about: str | None) -> typer.Typer:
    if name not in groups:
        groups[name] = typer.Typer(
            no_args_is_help=True, rich_markup_mode=None, help=about, short_help=GROUPS[name]
        )
        app.add_typer(groups[name], name=name)
    return groups[name]


def _summary(command: Command, function: Callable[..., object]) -> str:
    """The first sentence of the help. Told as such, it is folded where there is no room for it, and not cut off."""
    return command.summary or (function.__doc__ or "").partition("\n")[0].partition(". ")[0].rstrip(".") + "."


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
            raise server_missing(missing)

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
