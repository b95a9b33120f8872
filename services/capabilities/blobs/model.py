"""What a key and a content type may be."""

from __future__ import annotations

import re
from typing import Final

LONGEST_KEY: Final = 512
LONGEST_SEGMENT: Final = 255
PIECE_BYTES: Final = 64 * 1024
"""The most bytes of a piece that `Blobs.open` gives."""

LONGEST_LINK: Final = 7 * 86400
"""Seconds that a link may be good for, by AWS Signature Version 4."""

_SEGMENT = re.compile(rf"[A-Za-z0-9._-]{{1,{LONGEST_SEGMENT}}}")
_CONTENT_TYPE = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")

# A folder keeps the type of a file as its name's ending, so an entry may be added and must never be changed.
_TYPES: Final = {
    "flac": "audio/flac",
    "gif": "image/gif",
    "jpg": "image/jpeg",
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "png": "image/png",
    "txt": "text/plain; charset=utf-8",
    "wav": "audio/wav",
    "webp": "image/webp",
}


def is_segment(name: str) -> bool:
    """Whether a key may have this between two `/`."""
    return _SEGMENT.fullmatch(name) is not None and name not in (".", "..")


def is_key(text: str) -> bool:
    """Whether an object may have this key."""
    return len(text) <= LONGEST_KEY and all(map(is_segment, text.split("/")))


def segments_of(key: str) -> tuple[str, ...]:
    """The segments of a key, one at least. Raises ValueError for a text that is no key."""
    if not is_key(key):
        raise ValueError(f"{key[:LONGEST_KEY]!r} is no key of an object")
    return tuple(key.split("/"))


def segments_of_prefix(prefix: str) -> tuple[str, ...]:
    """The segments of a prefix, none of the empty one. Raises ValueError for a text that is no prefix."""
    if not prefix:
        return ()
    if not prefix.endswith("/"):
        raise ValueError(f"{prefix[:LONGEST_KEY]!r} is no prefix: it ends in the middle of a segment")
    return segments_of(prefix[:-1])


def check_content_type(content_type: str) -> None:
    """Raises ValueError for a text that no header could carry."""
    if not _CONTENT_TYPE.fullmatch(content_type):
        raise ValueError(f"{content_type[:255]!r} is no content type")


def check_link(seconds: int) -> None:
    """Raises ValueError for a length of time that no link is good for."""
    if not 0 < seconds <= LONGEST_LINK:
        raise ValueError(f"a link is good for at most {LONGEST_LINK} seconds, and not for {seconds}")


def type_of(key: str) -> str | None:
    """The content type that goes with the ending of a key; None when none does."""
    _, dot, ending = key.rpartition(".")
    return _TYPES.get(ending) if dot else None
