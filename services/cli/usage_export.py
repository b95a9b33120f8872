"""Events as a file."""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.choices import chosen
from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.output import CommandFailed, describe, note, shown
from services.cli.people import Whose, find_user_id
from services.cli.usage_span import Since, Until, Zone, span_of
from services.cli.whole_file import replacing, require_absent

if TYPE_CHECKING:
    from antiphon_client import AntiphonError


class Format(enum.StrEnum):
    """How events are written."""

    CSV = "csv"
    JSONL = "jsonl"


def export_usage(
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar=f"[{'|'.join(Format)}]",
            help="CSV for spreadsheets, or a JSON object a line for programs.",
        ),
    ] = Format.CSV.value,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write to a file of your own.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    everybody: Annotated[bool, typer.Option("--all", help="Everybody's events (administrators).")] = False,
    user: Whose = "",
    since: Since = None,
    until: Until = None,
    zone: Zone = None,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Write the events of your calls, oldest first: all that are kept. --json means --format jsonl.

    \b
    Examples:
      antiphon usage export --since 30d > calls.csv
      antiphon usage export --all --format jsonl -o calls.jsonl
    """
    from antiphon.analytics.v1 import analytics_pb2

    from antiphon_client import AntiphonError

    with calling(server, as_json) as client:
        as_lines = as_json or chosen(form, Format, "--format") is Format.JSONL
        if everybody and user:
            raise CommandFailed("--all and --user exclude each other", status=2)
        if output is not None and not force:
            require_absent(output)
        span = span_of(since, until, zone)
        with client.export_events(
            file_format=analytics_pb2.EXPORT_FORMAT_JSON_LINES
            if as_lines
            else analytics_pb2.EXPORT_FORMAT_CSV,
            user_id=find_user_id(client, user),
            all_users=everybody,
            start=span.start,
            end=span.end,
        ) as chunks:
            counted = _Counted(chunks, as_lines)
            try:
                if output is None:
                    _print(counted)
                    return
                with replacing(output, force=force) as file:
                    file.writelines(counted)
            except AntiphonError as error:
                if not counted.size:
                    raise
                raise _broken_off(counted.size, error, server, to_file=output is not None) from error
            events = f"{counted.events:,} {'event is' if counted.events == 1 else 'events are'}"
            note(f"{events} in {output} ({counted.size:,} bytes)")


class _Counted:
    """Chunks as they come, and how much has come. A chunk has whole lines."""

    def __init__(self, chunks: Iterable[bytes], as_lines: bool) -> None:
        self._chunks = chunks
        self._as_lines = as_lines
        self._ends = 0
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.size += len(chunk)
            # What is between quotes is inside of a cell, and may have lines of its own.
            outside = [chunk] if self._as_lines else chunk.split(b'"')[::2]
            self._ends += sum(part.count(b"\n") for part in outside)
            yield chunk

    @property
    def events(self) -> int:
        """How many events have come; CSV begins with a line that is none."""
        return self._ends if self._as_lines else max(0, self._ends - 1)


def _broken_off(size: int, error: AntiphonError, server: str, *, to_file: bool) -> CommandFailed:
    left = "No file was made." if to_file else "What was written to standard output is not whole."
    return CommandFailed(
        f"the export broke off after {size:,} bytes: {describe(error, server)}",
        f"{left} It can't be gone on with: start it again.",
        reason=error.reason or "EXPORT_BROKE_OFF",
        code=error.code.name,
    )


def _print(chunks: Iterable[bytes]) -> None:
    on_terminal = sys.stdout.isatty()
    for chunk in chunks:
        if on_terminal:
            # Cut at the end of a line, so never inside of a character.
            sys.stdout.write(shown(chunk.decode("utf-8", "replace"), True))
        else:
            # As it came, whatever the locale is.
            sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
