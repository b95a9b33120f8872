"""Events as a file."""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.output import CommandFailed, note, shown
from services.cli.people import Whose, find_user_id
from services.cli.usage_span import Since, Until, Zone, span_of
from services.cli.whole_file import replacing, require_absent


class Format(enum.StrEnum):
    """How events are written."""

    CSV = "csv"
    JSONL = "jsonl"


def export_usage(
    form: Annotated[
        Format, typer.Option("--format", help="CSV for spreadsheets, or a JSON object a line for programs.")
    ] = Format.CSV,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write to a file of your own.", show_default=False
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    everybody: Annotated[bool, typer.Option("--all", help="Everybody's events (administrators).")] = False,
    user: Whose = "",
    since: Since = "",
    until: Until = "",
    zone: Zone = "",
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

    with calling(server, as_json) as client:
        if everybody and user:
            raise CommandFailed("--all and --user exclude each other", status=2)
        if output is not None and not force:
            require_absent(output)
        span = span_of(since, until, zone)
        with client.export_events(
            file_format=analytics_pb2.EXPORT_FORMAT_JSON_LINES
            if as_json or form is Format.JSONL
            else analytics_pb2.EXPORT_FORMAT_CSV,
            user_id=find_user_id(client, user),
            all_users=everybody,
            start=span.start,
            end=span.end,
        ) as chunks:
            if output is None:
                _print(chunks)
                return
            size = 0
            with replacing(output, force=force) as file:
                for chunk in chunks:
                    size += file.write(chunk)
            note(f"{size:,} bytes are in {output}")


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
