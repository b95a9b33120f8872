"""A command that was not written correctly, told to a program: the same JSON object that every other failure is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from services.cli.output import CommandFailed, tell_failure


class ProgramForPrograms(TyperGroup):
    """The program as `--json` wants it: nothing on standard error but JSON objects."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs it, and exits; without `standalone_mode` it returns, or raises what happened."""
        try:
            status = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except Exception as error:
            told = _as_failure(error) if standalone_mode else None
            if told is None:
                raise
            tell_failure(True, told)
            sys.exit(told.status)
        if not standalone_mode:
            return status
        sys.exit(status if isinstance(status, int) else 0)


def wants_json(arguments: list[str]) -> bool:
    """Whether these arguments ask for JSON. What follows `--` is text."""
    return "--json" in (arguments[: arguments.index("--")] if "--" in arguments else arguments)


def _as_failure(error: Exception) -> CommandFailed | None:
    if isinstance(error, typer.Abort):
        return CommandFailed("the input ended")
    # The library that reads arguments has one kind of failure for them, which it keeps behind names of its own.
    say, status = getattr(error, "format_message", None), getattr(error, "exit_code", None)
    if say is None or not isinstance(status, int):
        return None
    context = getattr(error, "ctx", None)
    advice = f"{context.command_path} --help" if context is not None else "antiphon --help"
    return CommandFailed(say(), advice, reason="USAGE", code="INVALID_ARGUMENT", status=status)
