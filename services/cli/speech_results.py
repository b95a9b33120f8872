"""What was spoken: how it is kept, and what is said of it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli.file_output import STANDARD_OUTPUT, to_standard_output
from services.cli.output import CommandFailed, as_dict, count, describe, note, print_json, print_table
from services.cli.speech_spool import Spool
from services.cli.whole_file import replacing

if TYPE_CHECKING:
    from antiphon.speech.v1 import speech_pb2

    from antiphon_client import AntiphonError, Client
    from services.cli.speech_targets import Target

_HEADERS = ("CONVERSION", "VOICE", "MODEL", "CHARACTERS", "DURATION", "BYTES", "FILE")


def keep(
    client: Client,
    conversion: speech_pb2.Conversion,
    streamed: Spool,
    target: Target,
    server: str,
    as_json: bool,
) -> Path | None:
    """Writes the stored audio, and tells where; None where no file is wanted. Raises CommandFailed, after it was told what was spoken."""
    if target.plays_only:
        return None
    path = target.file_of(conversion.conversion_id)
    written: Path | None = None
    try:
        with Spool() as fetched:
            why = _fetch(client, conversion, streamed, fetched)
            _write(path, fetched if fetched.size else streamed, force=target.force)
            written = path
        if why is not None:
            raise _kept_as_streamed(path, why, server)
    except (CommandFailed, OSError, KeyboardInterrupt) as error:
        # It was spoken, and perhaps paid for: whoever asked is told where it is.
        show_spoken(conversion, written, target, as_json)
        way = f"The server keeps it; to fetch it: {_way_to(conversion, path)}"
        if isinstance(error, CommandFailed):
            raise CommandFailed(
                error.message,
                "\n".join(filter(None, (error.advice, way))),
                reason=error.reason,
                code=error.code,
                status=error.status,
            ) from error
        note(way)
        raise
    return path


def _fetch(
    client: Client, conversion: speech_pb2.Conversion, streamed: Spool, fetched: Spool
) -> AntiphonError | None:
    """Fetches what is stored, unless it is what was streamed: the header of a stored file may tell more. What went wrong is told, and then
    nothing is fetched."""
    from antiphon_client import AntiphonError

    if streamed.sha256 == conversion.sha256:
        return None
    download = client.download_audio(conversion.conversion_id, owner_token=conversion.owner_token)
    try:
        with download as chunks:
            fetched.fill(chunks)
    except AntiphonError as error:
        fetched.clear()
        return error
    fetched.end()
    return None


def _write(path: Path, audio: Spool, *, force: bool) -> None:
    if path == STANDARD_OUTPUT:
        for chunk in audio.chunks():
            to_standard_output(chunk)
        return
    with replacing(path, force=force) as file:
        file.writelines(audio.chunks())


def _kept_as_streamed(path: Path, error: AntiphonError, server: str) -> CommandFailed:
    place = "standard output" if path == STANDARD_OUTPUT else str(path)
    return CommandFailed(
        f"the stored file could not be fetched: {describe(error, server)}",
        f"{place} has what was streamed: it can be played, and its header may tell no length.",
        reason=error.reason or "DOWNLOAD_FAILED",
        code=error.code.name,
    )


def show_spoken(conversion: speech_pb2.Conversion, path: Path | None, target: Target, as_json: bool) -> None:
    """Says what was spoken; `path` is where it was written."""
    if as_json:
        print_json({"conversion": as_dict(conversion) | ({"file": str(path)} if path else {})})
        return
    row = (
        conversion.conversion_id,
        conversion.voice,
        conversion.model,
        count(conversion.character_count),
        seconds(conversion.duration_seconds),
        count(conversion.file_size_bytes),
        str(path or ""),
    )
    if target.path == STANDARD_OUTPUT:
        # Standard output has the audio itself.
        note(" ".join(filter(None, row[:-1])))
    else:
        shown = len(_HEADERS) if path or not sys.stdout.isatty() else len(_HEADERS) - 1
        print_table(_HEADERS[:shown], [row[:shown]], "", numbers=(3, 4, 5))


def note_the_way(conversion: speech_pb2.Conversion, path: Path | None, target: Target) -> None:
    """Says how to fetch what is in no file, or can't be found again: an owner token is told once, and nobody finds the conversion without it."""
    if path is None or conversion.owner_token:
        wanted = path or target.file_of(conversion.conversion_id)
        note(f"To fetch it{' again' if path else ''}: {_way_to(conversion, wanted)}")


def what_is_kept(conversion: speech_pb2.Conversion, path: Path | None, target: Target) -> str:
    """What there is, for whoever did not hear it to its end."""
    if path is not None and path != STANDARD_OUTPUT:
        return f"{path} is kept."
    wanted = path or target.file_of(conversion.conversion_id)
    return f"The server keeps it; to fetch it: {_way_to(conversion, wanted)}"


def _way_to(conversion: speech_pb2.Conversion, path: Path) -> str:
    token = f" --owner-token {shlex.quote(conversion.owner_token)}" if conversion.owner_token else ""
    return f"antiphon speech get {conversion.conversion_id}{token} -o {shlex.quote(str(path))}"


def seconds(length: float) -> str:
    """A length of audio: such as `3.2 s`, from a minute on `1:02:03`, on a terminal; plain seconds in a pipe."""
    if not sys.stdout.isatty():
        return f"{length:.2f}"
    if length < 60:
        return f"{length:.1f} s"
    minutes, rest = divmod(round(length), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
