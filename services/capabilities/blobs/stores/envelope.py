"""How a file says what type its object has.

A file is the object's bytes and nothing else where its name's ending says the type. Where it does not, or where the bytes could be taken
for an envelope, the file begins with one: a mark and a line with the type. So a type and its bytes are one file, which is there wholly or
not at all, on any file system and in any backup.
"""

from __future__ import annotations

from typing import Final

from services.capabilities.blobs.model import type_of

_MARK: Final = b"\0antiphon object\n"
HEAD_BYTES: Final = len(_MARK) + 256
"""So many bytes of a file hold the envelope, if it has one."""

_UNKNOWN = "application/octet-stream"


def envelope_of(key: str, data: bytes, content_type: str) -> bytes:
    """What goes before the bytes of an object; nothing, as a rule."""
    if content_type == type_of(key) and not data.startswith(_MARK):
        return b""
    return _MARK + content_type.encode() + b"\n"


def read_envelope(key: str, head: bytes) -> tuple[str, int]:
    """The type of an object, and where its bytes begin in the file, by the first HEAD_BYTES of the file."""
    if head.startswith(_MARK):
        written, end, _ = head[len(_MARK) :].partition(b"\n")
        if end:
            return written.decode(errors="replace"), len(_MARK) + len(written) + 1
    return type_of(key) or _UNKNOWN, 0
