"""Audio as it was heard or is stored, by its digests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

HEADERS = {"wav": 44, "flac": 42}
"""How many bytes of a file say its length, which a stream does not know yet; 0 for other formats."""


@dataclass(frozen=True, slots=True)
class Audio:
    """`body` is the SHA-256 of what is behind the header, in hexadecimal digits as `sha256`, that of all."""

    size: int
    sha256: str
    body: str


class Digest:
    """Takes the pieces of a file of this format."""

    def __init__(self, format_: str) -> None:
        self._left = HEADERS.get(format_, 0)
        self._size = 0
        self._all, self._body = hashlib.sha256(), hashlib.sha256()

    def add(self, piece: bytes) -> None:
        """The next piece."""
        self._size += len(piece)
        self._all.update(piece)
        self._body.update(piece[self._left :])
        self._left = max(0, self._left - len(piece))

    @property
    def audio(self) -> Audio:
        """All pieces by now."""
        return Audio(self._size, self._all.hexdigest(), self._body.hexdigest())
