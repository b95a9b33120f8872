"""Objects as files below a folder, for one thread at a time; nothing that lies outside of that folder is ever read or written.

Every way down begins at an open descriptor and takes one segment at a time without following links, so that no link leads out, whoever
puts it there and whenever. A file is never changed once it has its name: readers keep the one that they opened.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from services.capabilities.blobs.errors import StoreAway
from services.capabilities.blobs.model import segments_of
from services.capabilities.blobs.stores.envelope import envelope_of
from services.capabilities.blobs.stores.file import OpenFile, foreign, opened, version_of
from services.capabilities.blobs.stores.locks import locked

WORK = "~work"
"""The folder of locks and of files that are being written; no key has such a segment."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MORE_OF_A_FILE = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_STALE_SECONDS = 3600.0
_ATTEMPTS = 100
# The steps in which file systems count time: nanoseconds, and what older ones and those of networks have.
_STEPS = (1, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)

Allowed = Callable[[str | None], bool]
"""Whether an object may take the place of the one with this version, or of none."""


class Tree:
    """The files below a folder. `close` it when no thread is at it any more. Raises OSError, and what `blobs.errors` has."""

    def __init__(self, root: Path, timeout: float) -> None:
        """The folder is there. Another process may hold an object for `timeout` seconds."""
        self._path = root
        self._timeout = timeout
        with ExitStack() as half:
            self._root = _held(half, os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            self._work = _held(half, _made_folder(WORK, self._root))
            self._locks = _held(half, _made_folder("locks", self._work))
            self._sweep()
            self._open = half.pop_all()

    def close(self) -> None:
        """Let go of the folder."""
        self._open.close()

    def open(self, key: str) -> OpenFile | None:
        """An object; None when there is none."""
        *folders, name = segments_of(key)
        with self._way(folders) as way:
            found = opened(key, name, way[-1]) if way else None
            if found is None and os.fstat(self._root).st_nlink == 0:
                raise _gone()
            return found

    def write(self, key: str, data: bytes, content_type: str, allowed: Allowed) -> bool:
        """Put an object in the place of another, if it is allowed; whether it was. Durable at the return."""
        *folders, name = segments_of(key)
        with self._way(folders) as way:
            if not allowed(_version(_present(name, way[-1]) if way else None)):
                return False
        draft, file = self._draft()
        try:
            _write_all(file, envelope_of(key, data, content_type))
            _write_all(file, data)
            return self._settle(file, draft, key, allowed)
        finally:
            os.close(file)
            self.discard(draft)

    def begin(self, key: str, block: bytes, content_type: str) -> str:
        """Begin an object that comes in blocks, the first of them large enough for a mark to be seen in it: the name of its draft, which
        nothing holds open meanwhile. `discard` it, or `finish`."""
        draft, file = self._draft()
        try:
            _write_all(file, envelope_of(key, block, content_type))
            _write_all(file, block)
            os.fsync(file)
        except BaseException:
            self.discard(draft)
            raise
        finally:
            os.close(file)
        return draft

    def extend(self, draft: str, block: bytes) -> None:
        """Add a block to a draft. It is on the disk at the return, so that the end need not wait for all of them."""
        file = os.open(draft, _MORE_OF_A_FILE, dir_fd=self._work)
        try:
            _write_all(file, block)
            os.fsync(file)
        finally:
            os.close(file)

    def finish(self, draft: str, key: str, allowed: Allowed) -> bool:
        """Put what was drafted in the place of another object, if it is allowed; whether it was. Durable at the return."""
        file = os.open(draft, _MORE_OF_A_FILE, dir_fd=self._work)
        try:
            return self._settle(file, draft, key, allowed)
        finally:
            os.close(file)

    def discard(self, draft: str) -> None:
        """Remove a draft if it is still one."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=self._work)

    def delete(self, key: str) -> None:
        """Remove an object if there is one, and the folders that are empty then. Durable at the return."""
        *folders, name = segments_of(key)
        with locked(self._locks, key, self._timeout), self._way(folders) as way:
            if not way or not _is_object(name, way[-1]):
                return
            os.unlink(name, dir_fd=way[-1])
            os.fsync(way[-1])
            for folder, above in zip(reversed(folders), reversed(way[:-1]), strict=True):
                try:
                    # Whoever is about to write into it finds it gone, and makes it again.
                    os.rmdir(folder, dir_fd=above)
                except OSError:
                    return

    @contextlib.contextmanager
    def folder(self, names: Sequence[str]) -> Iterator[int | None]:
        """The descriptor of a folder while the block runs; None when it is not there."""
        with self._way(names) as way:
            yield way[-1] if way else None

    def probe(self) -> None:
        """Write something and remove it. Raises OSError or StoreAway where that fails."""
        try:
            if not os.path.samestat(os.stat(self._path), os.fstat(self._root)):
                raise _gone()
        except FileNotFoundError:
            raise _gone() from None
        name = f"{secrets.token_hex(12)}.draft"
        probe = os.open(name, _NEW_FILE, 0o600, dir_fd=self._work)
        try:
            _write_all(probe, b"\n")
        finally:
            os.close(probe)
            os.unlink(name, dir_fd=self._work)

    def _draft(self) -> tuple[str, int]:
        if time.monotonic() > self._sweep_at:
            self._sweep()
        draft = f"{secrets.token_hex(12)}.draft"
        return draft, os.open(draft, _NEW_FILE, 0o600, dir_fd=self._work)

    def _settle(self, file: int, draft: str, key: str, allowed: Allowed) -> bool:
        *folders, name = segments_of(key)
        os.fsync(file)
        with locked(self._locks, key, self._timeout):
            return self._enter(file, draft, folders, name, allowed)

    def _enter(self, file: int, draft: str, folders: Sequence[str], name: str, allowed: Allowed) -> bool:
        for _ in range(_ATTEMPTS):
            # Somebody who removes the last object of a folder may remove the folder at any moment.
            with contextlib.suppress(FileNotFoundError), self._way(folders, make=True) as way:
                before = _present(name, way[-1])
                if not allowed(_version(before)):
                    return False
                _stamp(file, before.st_mtime_ns if before is not None else 0)
                os.rename(draft, name, src_dir_fd=self._work, dst_dir_fd=way[-1])
                # The folders above may be new as well, by us or by somebody who has not come to this line yet.
                for folder in reversed(way):
                    os.fsync(folder)
                return True
        raise StoreAway("The folders of the object are removed again and again.")

    @contextlib.contextmanager
    def _way(self, names: Sequence[str], *, make: bool = False) -> Iterator[list[int]]:
        """The descriptors of the root and of these folders below one another; none when one of them is not there."""
        with ExitStack() as stack:
            way = [self._root]
            for name in names:
                folder = _made_folder(name, way[-1]) if make else _folder(name, way[-1])
                if folder is None:
                    way = []
                    break
                way.append(_held(stack, folder))
            yield way

    def _sweep(self) -> None:
        """Remove what processes that were killed left unfinished. A writer that is only slow fails, and nothing is damaged."""
        self._sweep_at = time.monotonic() + _STALE_SECONDS
        oldest = time.time() - _STALE_SECONDS
        with os.scandir(self._work) as found:
            for entry in found:
                with contextlib.suppress(FileNotFoundError):
                    if entry.name.endswith(".draft") and entry.stat(follow_symlinks=False).st_mtime < oldest:
                        os.unlink(entry.name, dir_fd=self._work)


def _held(stack: ExitStack, descriptor: int) -> int:
    stack.callback(os.close, descriptor)
    return descriptor


def _folder(name: str, above: int) -> int | None:
    try:
        return os.open(name, _FOLDER, dir_fd=above)
    except FileNotFoundError:
        return None
    except OSError:
        if stat.S_ISREG(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
            return None
        raise foreign() from None


def _made_folder(name: str, above: int) -> int:
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=above)
    folder = _folder(name, above)
    if folder is not None:
        return folder
    if stat.S_ISREG(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
        raise ValueError(f"a key would be below the object {name!r}")
    raise FileNotFoundError(name)


def _present(name: str, folder: int) -> os.stat_result | None:
    """The file that a new one would replace."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise ValueError(f"{name!r} is a folder of objects, and a key can't be both")
    if not stat.S_ISREG(found.st_mode):
        raise foreign()
    return found


def _version(present: os.stat_result | None) -> str | None:
    return None if present is None else version_of(present)


def _is_object(name: str, folder: int) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _stamp(file: int, predecessor: int) -> None:
    """Date a file later than the one that it replaces, by the file system's own clockwork: the two then have different versions, whatever
    is in them and though an inode's number is given out again."""
    for step in _STEPS:
        moment = max(time.time_ns(), predecessor + step)
        os.utime(file, ns=(moment, moment))
        if os.fstat(file).st_mtime_ns > predecessor:
            return


def _write_all(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _gone() -> StoreAway:
    return StoreAway(
        "The folder of the objects was moved or removed while it was in use.", "Put it back, and restart."
    )
