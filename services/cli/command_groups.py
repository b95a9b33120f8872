"""How commands read what is typed: those that other commands belong to, and those that take a text."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class AlsoCommand(TyperGroup):
    """A group that does something itself when none of its commands is named right behind it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Refuses, and says why: whoever named one of its commands did so behind options, which then would be nobody's."""
        name, _, rest = super().resolve_command(ctx, args)
        ctx.fail(f"Options go behind the command: {' '.join([ctx.command_path, str(name), *rest])} [OPTIONS]")


class PlainCommand(TyperCommand):
    """A command that no other ones belong to. Its help names arguments by what they are for; which Python type they have is nobody's business."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._takes_text = False
        for each in self.params:
            if each.param_type_name == "argument":
                self._takes_text = self._takes_text or each.nargs == -1
                # Read by the library's help alone, in the versions that show types.
                setattr(each, "display_type_rich", _nothing)  # noqa: B010 - it has no such attribute to be typed.

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads the arguments. Where a text begins with a dash, the refusal says how it is told from options."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            # The library keeps this kind of failure behind names of its own.
            if (
                self._takes_text
                and hasattr(error, "option_name")
                and not getattr(error, "possibilities", ("",))
            ):
                error.message += f". Behind `--` all is text: {ctx.command_path} -- TEXT"  # type: ignore[attr-defined]
            raise


def _nothing(ctx: Any) -> str:
    return ""
