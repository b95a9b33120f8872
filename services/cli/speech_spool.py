"""Audio as it arrives: one side writes, the other reads behind it, as slowly as it likes."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Iterable, Iterator
from typing import Self

from services.cli.output import CommandFailed

_CHUNK = 64 * 1024
_SECONDS = 0.5


class Spool:
    """Bytes in a temporary file, which the end of the block removes. One thread writes; others read meanwhile, each from the beginning."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end of the block.
        self._changed = threading.Condition()
        self._digest = hashlib.sha256()
        self._ended = False
        self.size = 0

    def write(self, data: bytes) -> None:
        """Adds bytes. Raises CommandFailed when there is no room for them."""
        try:
            with self._changed:
                self._file.seek(self.size)
                self._file.write(data)
                self._file.flush()
                self.size += len(data)
                self._digest.update(data)
                self._changed.notify_all()
        except OSError as error:
            raise CommandFailed(
                f"the audio can't be kept in {tempfile.gettempdir()} meanwhile: {error.strerror}",
                "TMPDIR names another folder.",
            ) from None

    def fill(self, chunks: Iterable[bytes]) -> None:
        """Adds all of these."""
        for chunk in chunks:
            self.write(chunk)

    def clear(self) -> None:
        """Forgets all of it."""
        with self._changed:
            self._file.truncate(0)
            self.size, self._digest = 0, hashlib.sha256()

    def end(self) -> None:
        """Nothing more comes: whoever reads comes to the end."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def sha256(self) -> str:
        """The digest of what was written, in lower-case hexadecimal digits."""
        return self._digest.hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """All bytes from the beginning, waiting for those to come until the end is told."""
        position = 0
        while chunk := self._next(position):
            position += len(chunk)
            yield chunk

    def _next(self, position: int) -> bytes:
        with self._changed:
            while position >= self.size:
                if self._ended:
                    return b""
                self._changed.wait(_SECONDS)
            self._file.seek(position)
            return self._file.read(_CHUNK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.end()
        with self._changed:
            self._file.close()
