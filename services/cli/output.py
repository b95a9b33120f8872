"""What commands print: results for people or programs on standard output, failures and notes on standard error."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sys
from collections.abc import Collection, Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from google.protobuf.message import Message
    from google.protobuf.timestamp_pb2 import Timestamp

    from antiphon_client import AntiphonError

FOLDED = 24
"""To how many columns the last column of a table may be folded. A table that needs more is written as a list of its entries."""

BROKEN_PIPE = 128 + 13
"""The exit code when the reader of standard output has gone: that of SIGPIPE."""

MISUSE = 2
"""The exit code of a command that was not written correctly."""

_KEPT_CONTROLS = "\n\t"
_UNSEEN = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in _KEPT_CONTROLS}
# What turns the direction of the text that follows it. On one line such a character falsifies its neighbours.
_TURNING = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))

# Whose absence is a defect.
_OURS = frozenset({"antiphon", "antiphon_client", "services"})
_CANT_WRITE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})

for_programs: ContextVar[bool] = ContextVar("for_programs", default=False)
"""Whether whoever called reads JSON: every line of standard error is an object then, too."""


class CommandFailed(Exception):
    """A command that can't do what was asked. `advice` says what to do; `reason` and `code`, a canonical status code's name, are for
    programs: by default those of a misuse where the exit code `status` is 2."""

    def __init__(
        self,
        message: str,
        advice: str = "",
        *,
        reason: str = "",
        code: str = "",
        status: int = 1,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.reason = reason or ("USAGE" if status == MISUSE else "COMMAND_FAILED")
        self.code = code or ("INVALID_ARGUMENT" if status == MISUSE else "FAILED_PRECONDITION")
        self.status = status


@contextlib.contextmanager
def reporting(as_json: bool, server: str = "") -> Iterator[None]:
    """Turns the failures of a command into a line or two, or a JSON object, on standard error, and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal that can't show a character shows a substitute.
            stream.reconfigure(errors="replace")
    earlier = for_programs.set(as_json)
    try:
        yield
        # What is still buffered fails here, where it can be told, or not at all.
        sys.stdout.flush()
    except CommandFailed as failure:
        tell_failure(as_json, failure)
        raise typer.Exit(failure.status) from None
    except KeyboardInterrupt:
        if not as_json:
            print(file=sys.stderr)
        raise typer.Exit(130) from None
    except BrokenPipeError:
        # A reader that goes away early, such as `head`, is nothing to talk about.
        discard_output()
        raise typer.Exit(BROKEN_PIPE) from None
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in _OURS:
            raise
        tell_failure(as_json, server_missing(error.name or ""))
        raise typer.Exit(1) from None
    except Exception as error:
        if isinstance(error, OSError) and tell_unwritable(error, as_json):
            raise typer.Exit(1) from None
        told = _known(error, server)
        if told is None:
            raise
        _tell(as_json, *told)
        raise typer.Exit(1) from None
    finally:
        for_programs.reset(earlier)


def server_missing(module: str) -> CommandFailed:
    """That a command can't go on without the server's libraries, `module` being the first of those."""
    return CommandFailed(
        f"this needs what the server needs ({module} is missing)",
        "pip install 'antiphon[server]' (in a checkout: pip install '.[server]')",
    )


def _known(error: Exception, server: str) -> tuple[dict[str, Any], str, str] | None:
    # Looked up only now: a command that succeeds needs neither.
    from antiphon_client import AntiphonError
    from services.kernel.errors import ServiceError
    from services.kernel.startup import StartupError

    if isinstance(error, StartupError):
        return {"code": "FAILED_PRECONDITION", "reason": "STARTUP_FAILED"}, error.message, error.advice
    if isinstance(error, ServiceError):
        # A command that works on the deployment itself meets the services' own errors.
        broken = "\n".join(f"{each.field}: {each.description}" for each in error.violations)
        return {"code": error.code.name, "reason": error.reason}, error.message, broken
    if not isinstance(error, AntiphonError):
        return None
    from services.cli.advice import advice_on, message_of

    fields = {
        "code": error.code.name,
        "reason": error.reason,
        "metadata": error.metadata,
        "violations": [{"field": each.field, "description": each.description} for each in error.violations],
        "retryAfter": error.retry_after,
        "requestId": error.request_id,
    }
    return fields, message_of(error, server), advice_on(error, server)


def discard_output() -> None:
    """Gives what is still buffered for standard output somewhere to go; Python would complain about it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell_unwritable(error: OSError, as_json: bool) -> bool:
    """Says that standard output can't be written, if that is what this error says, and gives up what was to be written."""
    if error.filename is not None or error.errno not in _CANT_WRITE:
        return False
    discard_output()
    fields = {"code": "FAILED_PRECONDITION", "reason": "OUTPUT_FAILED"}
    _tell(as_json, fields, f"standard output can't be written: {error.strerror}", "")
    return True


def describe(error: AntiphonError, server: str) -> str:
    """A failure on one line, for a command that goes on."""
    from services.cli.advice import message_of

    return message_of(error, server)


def tell_failure(as_json: bool, failure: CommandFailed) -> None:
    """Says on standard error what went wrong, for a command that was not even begun."""
    _tell(as_json, {"code": failure.code, "reason": failure.reason}, failure.message, failure.advice)


def _tell(as_json: bool, fields: dict[str, Any], message: str, advice: str) -> None:
    try:
        sys.stdout.flush()
    except OSError:
        # One failure at a time; whoever reads standard output sees that it ends.
        discard_output()
    if as_json:
        print(json.dumps({"error": {**fields, "message": message, "advice": advice}}), file=sys.stderr)
        return
    print(f"antiphon: {shown(message, sys.stderr.isatty())}", file=sys.stderr)
    for line in advice.splitlines():
        print(f"  {shown(line, sys.stderr.isatty())}", file=sys.stderr)


def note(text: str) -> None:
    """A remark for whoever watches; programs that read standard output don't see it. With `--json` it is `{"note": …}`."""
    if for_programs.get():
        print(json.dumps({"note": text}), file=sys.stderr, flush=True)
        return
    print(shown(text, sys.stderr.isatty()), file=sys.stderr, flush=True)


def as_dict(message: Message) -> dict[str, Any]:
    """A message as proto JSON, fields without a value included."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, always_print_fields_with_no_presence=True)


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on one line, at once."""
    print(json.dumps(value, ensure_ascii=(sys.stdout.encoding or "").lower() != "utf-8"), flush=True)


def print_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], empty: str, *, numbers: Collection[int] = ()
) -> None:
    """Rows for people on a terminal, as a list of entries where a table does not fit: no cell is ever cut. Tab-separated, without
    headers, in a pipe. `empty` is noted when there are none. `numbers` are the columns, from 0, that are read from their right end."""
    lines = [[flat(cell) for cell in row] for row in rows]
    if not lines:
        note(empty)
    elif not sys.stdout.isatty():
        for line in lines:
            print("\t".join(line))
    elif not _print_rich_table(headers, lines, numbers):
        for first, *others in lines:
            print(first)
            for header, cell in zip(headers[1:], others, strict=True):
                if cell:
                    print(f"  {header.lower()}: {cell}")


def print_fields(fields: Sequence[tuple[str, str]]) -> None:
    """One thing, a line for each of its fields; in a pipe tab-separated. On a terminal empty ones are left out."""
    on_terminal = sys.stdout.isatty()
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        if not on_terminal:
            print(f"{name}\t{flat(value)}")
        elif flat(value):
            print(f"{name:<{width}}  {flat(value)}")


def _print_rich_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int]
) -> bool:
    """Prints a table, if the terminal is wide enough for it."""
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, width=shutil.get_terminal_size().columns)
    widths = [max(map(cell_len, column)) for column in zip(headers, *rows, strict=True)]
    widths[-1] = min(widths[-1], FOLDED)
    # Two blanks and a line between two columns.
    if sum(widths) + 3 * (len(widths) - 1) > console.width:
        return False
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for number, header in enumerate(headers, start=1):
        table.add_column(
            header,
            no_wrap=number < len(headers),
            overflow="fold",
            justify="right" if number - 1 in numbers else "left",
        )
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    return True


def shown(text: str, on_terminal: bool) -> str:
    """`text` without what would steer a terminal. In a pipe it stays as it is."""
    return text.translate(_UNSEEN) if on_terminal else text


def flat(text: str) -> str:
    """`text` on one line, without what would steer a terminal or hide what it says: what somebody else wrote, in a list or a pipe."""
    return " ".join(text.translate(_UNSEEN).translate(_TURNING).split())


def best(text: str, plain: str) -> str:
    """`text` where standard output can show it, else `plain`."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return plain
    return text


def count(number: int) -> str:
    """A whole number: with signs between its thousands on a terminal, plain in a pipe."""
    return f"{number:,}" if sys.stdout.isatty() else str(number)


def local_time(moment: Timestamp) -> str:
    """A time as the reader's clock shows it; empty when there is none."""
    return f"{_local(moment):%Y-%m-%d %H:%M}" if moment.seconds else ""


def exact_time(moment: Timestamp) -> str:
    """A time to the second, with its distance from UTC; empty when there is none."""
    return _local(moment).isoformat(" ", "seconds") if moment.seconds else ""


def _local(moment: Timestamp) -> datetime:
    from datetime import UTC

    return moment.ToDatetime(tzinfo=UTC).astimezone()
