"""A command that other commands belong to."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class AlsoCommand(TyperGroup):
    """A group that does something itself when none of its commands is named right behind it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Refuses, and says why: whoever named one of its commands did so behind options, which then would be nobody's."""
        name, _, rest = super().resolve_command(ctx, args)
        ctx.fail(f"Options go behind the command: {' '.join([ctx.command_path, str(name), *rest])} [OPTIONS]")
