"""Images as files: where they go, in which format, and how they get there."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.choices import chosen
from services.cli.output import MISUSE, CommandFailed, describe
from services.cli.whole_file import replacing, require_absent

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiphon.image.v1 import image_pb2

    from antiphon_client import AntiphonError, ImageDownload

STANDARD_OUTPUT = Path("-")

Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write to a file; its ending names the format: .png, .jpg, .webp, .avif. `-` is standard output.",
        show_default=False,
    ),
]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="[png|jpeg|webp|avif]",
        help="The format, where no ending names it; png by default.",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]


class FormatName(StrEnum):
    """A format as it is typed."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"
    AVIF = "avif"


_ENDINGS = {
    ".png": FormatName.PNG,
    ".jpg": FormatName.JPEG,
    ".jpeg": FormatName.JPEG,
    ".webp": FormatName.WEBP,
    ".avif": FormatName.AVIF,
}


@dataclass(frozen=True, slots=True)
class Destination:
    """Where images go. `paths` has a file for each of them, or STANDARD_OUTPUT for the only one."""

    paths: tuple[Path, ...]
    form: FormatName
    force: bool

    @classmethod
    def of(
        cls, output: Path | None, form: str, *, force: bool, as_json: bool, count: int = 1
    ) -> Destination | None:
        """What the options of a command say; None without a file. Raises CommandFailed when nothing can be written there, so that this is known
        before an image is made."""
        if output is None:
            if form:
                raise CommandFailed(
                    "--format is of no use without a file", "Name one with -o.", status=MISUSE
                )
            return None
        named = _format_of(output, form)
        if output == STANDARD_OUTPUT:
            _require_pipe(count, as_json)
            return cls((output,), named, force)
        _require_folder(output)
        paths = _numbered(output, count)
        for path in paths:
            if path.is_dir():
                raise CommandFailed(
                    f"{path} is a folder", f"Name a file in it: {path / 'image.png'}", status=MISUSE
                )
            if not force:
                require_absent(path)
        return cls(paths, named, force)

    @property
    def image_format(self) -> image_pb2.ImageFormat:
        """The format in the contract."""
        from antiphon.image.v1 import image_pb2

        formats = {
            FormatName.PNG: image_pb2.IMAGE_FORMAT_PNG,
            FormatName.JPEG: image_pb2.IMAGE_FORMAT_JPEG,
            FormatName.WEBP: image_pb2.IMAGE_FORMAT_WEBP,
            FormatName.AVIF: image_pb2.IMAGE_FORMAT_AVIF,
        }
        return formats[self.form]

    def write(self, path: Path, download: ImageDownload, server: str) -> None:
        """Writes an image to one of the paths. Raises CommandFailed; a file is there whole or not at all."""
        if path == STANDARD_OUTPUT:
            _copy(download, _to_standard_output, server, "What was written to standard output is not whole.")
            return
        with replacing(path, force=self.force) as file:
            _copy(download, file.write, server, "No file was made.")


def _copy(download: ImageDownload, write: Callable[[bytes], object], server: str, left: str) -> None:
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


def _to_standard_output(chunk: bytes) -> None:
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _format_of(output: Path, form: str) -> FormatName:
    ending = output.suffix.lower()
    by_ending = _ENDINGS.get(ending)
    if not form:
        if not ending:
            return FormatName.PNG
        if by_ending is None:
            raise CommandFailed(
                f"{output}: {ending} is the ending of no format that images come in",
                f"Those are {', '.join(_ENDINGS)}; --format names one where the ending does not.",
                status=MISUSE,
            )
        return by_ending
    named = _ENDINGS.get(f".{form.strip().lower()}") or chosen(form, FormatName, "--format")
    if by_ending not in (None, named):
        raise CommandFailed(
            f"--format says {named}, and {output} has the ending of {by_ending}",
            f"Leave one of them out, or write to {output.with_suffix(f'.{named}')}",
            status=MISUSE,
        )
    return named


def _numbered(output: Path, count: int) -> tuple[Path, ...]:
    if count == 1:
        return (output,)
    return tuple(output.with_name(f"{output.stem}-{number}{output.suffix}") for number in range(1, count + 1))


def _require_pipe(count: int, as_json: bool) -> None:
    if as_json:
        raise CommandFailed(
            "--json and -o - exclude each other: both write to standard output", status=MISUSE
        )
    if count > 1:
        raise CommandFailed(
            f"standard output takes one image, not {count}", "Name a file with -o.", status=MISUSE
        )
    if sys.stdout.isatty():
        raise CommandFailed(
            "an image is not for a terminal", "Name a file with -o, or write to a pipe.", status=MISUSE
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
