"""What is to be spoken: as arguments, from a file, from standard input."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from services.cli.output import MISUSE, CommandFailed
from services.cli.texts import no_text

MOST_BYTES = 1 << 20
"""How much is read. A text that the contract takes has fewer bytes, whatever its characters."""
_EXAMPLE = 'antiphon speech say "hello" -o hello.mp3'


def text_to_speak(words: Sequence[str], file: Path | None) -> str:
    """The text. `-`, or nothing in a pipe, stands for standard input. Raises CommandFailed when there is none, or it is no text."""
    if file is not None and words:
        raise CommandFailed("--file and TEXT exclude each other", status=MISUSE)
    if file is not None and file != Path("-"):
        text, source = _of_file(file), str(file)
    elif file is not None or list(words) == ["-"] or not (words or sys.stdin.isatty()):
        text, source = _read(sys.stdin.buffer, "standard input"), "standard input"
    else:
        text, source = " ".join(words), "the text"
        if not words:
            raise CommandFailed("nothing says what to speak", _EXAMPLE, status=MISUSE)
    if not text.strip():
        raise CommandFailed(f"there is nothing to speak: {source} is empty", _EXAMPLE, status=MISUSE)
    return text


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return _read(file, str(path))
    except OSError as error:
        raise CommandFailed(f"{path} can't be read: {error.strerror}", reason="FILE_UNREADABLE") from None


def _read(file: BinaryIO, source: str) -> str:
    try:
        data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise CommandFailed(f"{source} can't be read: {error.strerror}", reason="FILE_UNREADABLE") from None
    if len(data) > MOST_BYTES:
        raise CommandFailed(
            f"{source} has more than {MOST_BYTES:,} bytes",
            "`antiphon speech models` shows how many characters are spoken at once.",
            status=MISUSE,
        )
    try:
        # Some editors put a mark in front of a text, which is no part of it.
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise no_text(f"{source} (byte {error.start + 1:,})") from None
