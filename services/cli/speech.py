"""Conversions, texts that were spoken: list them, show or fetch one, delete one."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.connection import DEFAULT_SERVER, AsJson, Server, calling
from services.cli.file_output import (
    STANDARD_OUTPUT,
    Force,
    require_pipe,
    require_writable,
    write_download,
)
from services.cli.listing import cut, with_last_cut
from services.cli.output import (
    MISUSE,
    CommandFailed,
    as_dict,
    count,
    exact_time,
    local_time,
    note,
    print_fields,
    print_json,
    print_table,
)
from services.cli.people import Whose, find_user_id, nothing_of
from services.cli.prompts import confirm
from services.cli.speech_files import ENDINGS, Output, format_name
from services.cli.speech_results import seconds
from services.cli.texts import check_conversion_id

if TYPE_CHECKING:
    from antiphon.speech.v1 import speech_pb2

ConversionId = Annotated[
    str,
    typer.Argument(
        metavar="CONVERSION",
        help="As `antiphon speech list` prints it, or its audio_url.",
        callback=check_conversion_id,
    ),
]
_HEADERS = ("CONVERSION", "TIME", "DURATION", "VOICE", "MODEL", "TEXT")
_ASKED = 60
"""How many columns of a text a question has."""
_LISTED = 100
"""How many columns of a text a list has at most: a text may be a book."""


def list_conversions(
    limit: Annotated[
        int, typer.Option("--limit", min=1, metavar="COUNT", help="How many at most, the newest.")
    ] = 20,
    user: Whose = "",
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """List what was spoken, newest first.

    \b
    Example:
      antiphon speech list --limit 5
    """
    with calling(server, as_json) as client:
        found = client.list_conversions(user_id=find_user_id(client, user), page_size=min(limit, 100))
        conversions = list(itertools.islice(found, limit)) or nothing_of(client, user)
        if as_json:
            print_json({"conversions": [as_dict(each) for each in conversions]})
            return
        _print_list(conversions)


def _print_list(conversions: Sequence[speech_pb2.Conversion]) -> None:
    # A terminal has little room, and its reader's clock; whoever reads a pipe may be elsewhere.
    time = local_time if sys.stdout.isatty() else exact_time
    rows = [
        (
            each.conversion_id,
            time(each.create_time),
            seconds(each.duration_seconds),
            each.voice,
            each.model,
            cut(each.text, _LISTED),
        )
        for each in conversions
    ]
    print_table(_HEADERS, with_last_cut(_HEADERS, rows), "nothing was spoken yet", numbers=(2,))


def get_conversion(
    conversion_id: ConversionId,
    output: Output = None,
    owner_token: Annotated[
        str,
        typer.Option(
            "--owner-token",
            metavar="TOKEN",
            help="What the answer to an anonymous call had.",
            show_default=False,
        ),
    ] = "",
    force: Force = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Show how a text was spoken, or write its audio to a file.

    \b
    Examples:
      antiphon speech get 0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11
      antiphon speech get 0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11 -o hola.mp3
    """
    with calling(server, as_json) as client:
        if output == STANDARD_OUTPUT:
            require_pipe("audio", as_json)
        elif output is not None:
            require_writable(output, force=force, example="speech.mp3")
        conversion = client.get_conversion(conversion_id, owner_token=owner_token)
        if output is None:
            _describe(conversion, as_json)
            return
        _check_ending(output, conversion)
        download = client.download_audio(conversion_id, owner_token=owner_token)
        write_download(output, download, server, force=force)
        if as_json:
            # As proto JSON writes numbers of 64 bits, like that of the conversion itself.
            told = {
                "conversionId": conversion_id,
                "file": str(output),
                "contentType": download.content_type,
            }
            print_json(told | {"sizeBytes": str(download.total_bytes), "sha256": download.sha256})
        elif output != STANDARD_OUTPUT:
            note(f"{output} ({download.total_bytes:,} bytes)")


def _check_ending(output: Path, conversion: speech_pb2.Conversion) -> None:
    named, stored = ENDINGS.get(output.suffix.lower()), format_name(conversion.format)
    if named is not None and stored is not None and named is not stored:
        raise CommandFailed(
            f"the audio is {stored}, and {output} has the ending of {named}",
            f"Write to {output.with_suffix(f'.{stored}')}",
            status=MISUSE,
        )


def _describe(conversion: speech_pb2.Conversion, as_json: bool) -> None:
    if as_json:
        print_json({"conversion": as_dict(conversion)})
        return
    made = conversion.metadata
    fields = (
        ("conversion", conversion.conversion_id),
        ("characters", count(conversion.character_count)),
        ("voice", conversion.voice),
        ("language", conversion.language),
        ("rate", f"{conversion.speaking_rate:g}"),
        ("pitch", f"{conversion.pitch:g}"),
        ("model", conversion.model),
        ("provider", made.provider),
        ("owner", conversion.user_id),
        ("made", exact_time(conversion.create_time)),
        ("took", _span(made.latency_ms)),
        ("duration", seconds(conversion.duration_seconds)),
        ("format", format_name(conversion.format) or ""),
        ("hertz", str(conversion.sample_rate_hertz)),
        ("bytes", count(conversion.file_size_bytes)),
        ("sha256", conversion.sha256),
        ("object", conversion.s3_key),
        ("audio", conversion.audio_url),
        ("ssml", conversion.ssml),
        # It may be long, and what stands behind it would not be seen.
        ("text", conversion.text),
    )
    print_fields([(name, value) for name, value in fields if value])


def _span(milliseconds: int) -> str:
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def delete_conversion(
    conversion_id: ConversionId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    server: Server = DEFAULT_SERVER,
    as_json: AsJson = False,
) -> None:
    """Delete what was spoken. What was used stays on the meter.

    \b
    Example:
      antiphon speech delete 0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11
    """
    with calling(server, as_json) as client:
        if not yes:
            text = cut(client.get_conversion(conversion_id).text, _ASKED)
            confirm(f'Delete the audio of "{text}" for good?', yes=yes)
        client.delete_conversion(conversion_id)
        if as_json:
            print_json({"conversionId": conversion_id})
            return
        note(f"{conversion_id} is deleted")
