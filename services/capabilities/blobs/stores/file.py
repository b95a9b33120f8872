"""A file that holds an object, open for reading."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

from services.capabilities.blobs.errors import StoreRefuses
from services.capabilities.blobs.stores.envelope import HEAD_BYTES, read_envelope

# A pipe without a writer would be waited for.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class OpenFile:
    """An object's file; `start` is where its bytes begin, `size` how many there are. `close` it."""

    descriptor: int
    start: int
    size: int
    content_type: str
    version: str
    modified: float

    def read(self, position: int, count: int) -> bytes:
        """So many bytes from this position of the object, fewer at its end."""
        pieces = []
        count = min(count, self.size - position)
        while count > 0:
            piece = os.pread(self.descriptor, count, self.start + position)
            if not piece:
                raise OSError(errno.EIO, "a file of the object store ends early")
            pieces.append(piece)
            position, count = position + len(piece), count - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self.descriptor)


def opened(key: str, name: str, folder: int) -> OpenFile | None:
    """The file of this name in a folder; None when there is none. Raises OSError, and StoreRefuses for what is no file."""
    try:
        descriptor = os.open(name, _READ, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise foreign() from None
        raise
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode):
            content_type, start = read_envelope(key, os.pread(descriptor, HEAD_BYTES, 0))
            version, modified = version_of(found), found.st_mtime
            return OpenFile(descriptor, start, found.st_size - start, content_type, version, modified)
        if not stat.S_ISDIR(found.st_mode):
            raise foreign()
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def version_of(found: os.stat_result) -> str:
    """What tells a file from all that had its name before: the tree dates each later than the one that it replaces."""
    return f"{found.st_ino:x}.{found.st_mtime_ns:x}.{found.st_size:x}"


def foreign() -> StoreRefuses:
    """The failure of what is neither a file nor a folder."""
    return StoreRefuses(
        "There is a link or a device among the objects, which is not followed.",
        "Replace it by the file or the folder itself; to have objects elsewhere, set ANTIPHON_BLOBS__FOLDER, or mount a file system there.",
    )
