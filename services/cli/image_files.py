"""Images as files: where they go, in which format, and how they get there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.file_output import (
    STANDARD_OUTPUT,
    format_of,
    require_pipe,
    require_writable,
    write_download,
)
from services.cli.output import MISUSE, CommandFailed

if TYPE_CHECKING:
    from antiphon.image.v1 import image_pb2

    from antiphon_client import Download

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
        named = format_of(output, form, _ENDINGS, FormatName.PNG, "images come")
        if output == STANDARD_OUTPUT:
            if count > 1:
                raise CommandFailed(
                    f"standard output takes one image, not {count}", "Name a file with -o.", status=MISUSE
                )
            require_pipe("an image", as_json)
            return cls((output,), named, force)
        paths = _numbered(output, count)
        for path in paths:
            require_writable(path, force=force, example="image.png")
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

    def write(self, path: Path, download: Download, server: str) -> None:
        """Writes an image to one of the paths. Raises CommandFailed; a file is there whole or not at all."""
        write_download(path, download, server, force=self.force)


def _numbered(output: Path, count: int) -> tuple[Path, ...]:
    if count == 1:
        return (output,)
    return tuple(output.with_name(f"{output.stem}-{number}{output.suffix}") for number in range(1, count + 1))
