"""Where a command writes what it has fetched: a file or standard output, in a format that the ending names."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from services.cli.choices import chosen
from services.cli.output import MISUSE, CommandFailed, describe
from services.cli.whole_file import replacing, require_absent, require_replaceable

if TYPE_CHECKING:
    from antiphon_client import AntiphonError, Download

STANDARD_OUTPUT = Path("-")

Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]
Word = TypeVar("Word", bound=StrEnum)


def format_of(output: Path, form: str, endings: Mapping[str, Word], default: Word, things_come: str) -> Word:
    """The format that the ending of `output` or `form`, as --format has it, says; `default` where neither does. `endings` are those of all formats
    that things come in, such as `images come`. Raises CommandFailed when the two contradict each other, or an ending is of none."""
    ending = output.suffix.lower()
    by_ending = endings.get(ending)
    if not form:
        if not ending or output == STANDARD_OUTPUT:
            return default
        if by_ending is None:
            raise CommandFailed(
                f"{output}: {ending} is the ending of no format that {things_come} in",
                f"Those are {', '.join(endings)}; --format names one where the ending does not.",
                status=MISUSE,
            )
        return by_ending
    named = named_format(form, endings)
    if by_ending not in (None, named):
        raise CommandFailed(
            f"--format says {named}, and {output} has the ending of {by_ending}",
            f"Leave one of them out, or write to {output.with_suffix(f'.{named}')}",
            status=MISUSE,
        )
    return named


def named_format(form: str, endings: Mapping[str, Word]) -> Word:
    """The format that --format names, by its name or an ending of its. Raises CommandFailed."""
    by_ending = endings.get(f".{form.strip().lower()}")
    return by_ending or chosen(form, type(next(iter(endings.values()))), "--format")


def require_writable(path: Path, *, force: bool, example: str) -> None:
    """Raises CommandFailed when no file can be written there, so that this is known before something is made for it. `example` is a name that
    would do."""
    _require_folder(path)
    if path.is_dir():
        raise CommandFailed(f"{path} is a folder", f"Name a file in it: {path / example}", status=MISUSE)
    if not force:
        require_absent(path)
    require_replaceable(path)


def require_pipe(thing: str, as_json: bool) -> None:
    """Raises CommandFailed when standard output is not there for `thing`, such as `an image`."""
    if as_json:
        raise CommandFailed(
            "--json and -o - exclude each other: both write to standard output", status=MISUSE
        )
    if sys.stdout.isatty():
        raise CommandFailed(
            f"{thing} is not for a terminal", "Name a file with -o, or write to a pipe.", status=MISUSE
        )


def write_download(path: Path, download: Download, server: str, *, force: bool) -> None:
    """Writes a download to a file, which is there whole or not at all, or to standard output. Raises CommandFailed."""
    if path == STANDARD_OUTPUT:
        _copy(download, to_standard_output, server, "What was written to standard output is not whole.")
        return
    with replacing(path, force=force) as file:
        _copy(download, file.write, server, "No file was made.")


def to_standard_output(chunk: bytes) -> None:
    """Writes bytes at once."""
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _copy(download: Download, write: Callable[[bytes], object], server: str, left: str) -> None:
    from antiphon_client import AntiphonError

    size = 0
    try:
        with download as chunks:
            for chunk in chunks:
                write(chunk)
                size += len(chunk)
    except AntiphonError as error:
        if not size:
            raise
        raise _broken_off(size, error, server, left) from error


def _broken_off(size: int, error: AntiphonError, server: str, left: str) -> CommandFailed:
    from antiphon_client.errors import BrokenDownload

    why = describe(error, server)
    return CommandFailed(
        why if isinstance(error, BrokenDownload) else f"the download broke off after {size:,} bytes: {why}",
        left,
        reason=error.reason or "DOWNLOAD_BROKE_OFF",
        code=error.code.name,
    )


def _require_folder(output: Path) -> None:
    folder = output.parent
    if not folder.is_dir():
        missing = "is no folder" if os.path.lexists(folder) else "is not there"
        raise CommandFailed(
            f"{output} can't be written: the folder {folder} {missing}", reason="FOLDER_MISSING"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CommandFailed(f"{output} can't be written: you may not write into the folder {folder}")
