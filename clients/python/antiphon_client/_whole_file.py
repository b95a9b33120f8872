"""A file that is whole as soon as it is there."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path
from typing import BinaryIO


class WholeFile:
    """Bytes that take their place at `path` once all are written; what was there is replaced then, and not before.

    They are written beside it, with the permissions of any new file. All methods raise OSError.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        if not self._path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(self._path.parent))
        self._beside = self._path.with_name(f".{secrets.token_hex(8)}.part")
        self._file: BinaryIO | None = None

    def write(self, data: bytes) -> None:
        """Adds bytes."""
        if self._file is None:
            self._file = self._beside.open("xb")
        self._file.write(data)

    def put_in_place(self) -> None:
        """All is written."""
        self.write(b"")
        assert self._file is not None
        self._file.close()
        self._beside.replace(self._path)

    def discard(self) -> None:
        """Leaves nothing of it; may be called in every state, also after `put_in_place`."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._beside.unlink(missing_ok=True)
