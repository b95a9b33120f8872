"""Audio as files: their formats by their endings, and what is known of them before it is spoken."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from antiphon.speech.v1 import speech_pb2

Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write to a file; its ending names the format: .mp3, .wav, .ogg, .opus, .flac. `-` is standard output.",
        show_default=False,
    ),
]


class FormatName(StrEnum):
    """A format as it is typed; the ending of its files, too."""

    MP3 = "mp3"
    WAV = "wav"
    OGG = "ogg"
    FLAC = "flac"


ENDINGS = {
    ".mp3": FormatName.MP3,
    ".wav": FormatName.WAV,
    ".ogg": FormatName.OGG,
    ".opus": FormatName.OGG,
    ".flac": FormatName.FLAC,
}


def audio_format(name: FormatName) -> speech_pb2.AudioFormat:
    """The format in the contract."""
    from antiphon.speech.v1 import speech_pb2

    formats = {
        FormatName.MP3: speech_pb2.AUDIO_FORMAT_MP3,
        FormatName.WAV: speech_pb2.AUDIO_FORMAT_WAV,
        FormatName.OGG: speech_pb2.AUDIO_FORMAT_OGG_OPUS,
        FormatName.FLAC: speech_pb2.AUDIO_FORMAT_FLAC,
    }
    return formats[name]


def format_name(value: speech_pb2.AudioFormat) -> FormatName | None:
    """The format of the contract as it is typed; None for one that this command does not know."""
    return next((name for name in FormatName if audio_format(name) == value), None)
