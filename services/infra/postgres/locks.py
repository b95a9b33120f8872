"""Two locks on a data directory: one says which suite owns it, one says whether any PostgreSQL process
still lives.

The owner's lock is a POSIX record lock: the kernel lets go of it when the process dies however it dies,
children do not inherit it, and the kernel names its holder. The server's lock is a `flock`, which children do
inherit: the watchdog, the postmaster and each of its backends hold it together, so that it is free only when
all of them are gone.
"""

import fcntl
import os
import struct
import sys
import threading
from pathlib import Path
from typing import ClassVar

# `struct flock`: type, whence, start, length and pid, in the system's own order.
_FLOCK, _TYPE, _PID = ("qqihh", 3, 2) if sys.platform == "darwin" else ("hhqqi", 0, 4)


class OwnerLock:
    """Held by the one suite that runs on a data directory."""

    # A record lock belongs to the process and not to whoever asked for it: a second request from the same
    # process would be granted, and closing any descriptor of the file would release it. So the process
    # remembers what it holds.
    _held: ClassVar[set[tuple[int, Path]]] = set()
    _guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> int | None:
        """None when the lock is ours now; otherwise the pid of its holder, 0 when the kernel does not
        tell.
        """
        with self._guard:
            if (os.getpid(), self._path) in self._held:
                return os.getpid()
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                holder = _holder(descriptor)
                os.close(descriptor)
                return holder or 0
            self._descriptor = descriptor
            self._held.add((os.getpid(), self._path))
            return None

    def holder(self) -> int | None:
        """As `acquire` answers, without taking the lock: None when nobody holds it."""
        with self._guard:
            if (os.getpid(), self._path) in self._held:
                return os.getpid()
            try:
                descriptor = os.open(self._path, os.O_RDWR | os.O_NOFOLLOW)
            except FileNotFoundError:
                return None
            try:
                return _holder(descriptor)
            finally:
                os.close(descriptor)

    def release(self) -> None:
        with self._guard:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
                self._held.discard((os.getpid(), self._path))


def _holder(descriptor: int) -> int | None:
    """The pid that holds a record lock on the file: 0 when it is out of sight (another container), None
    when there is none.
    """
    question = [0] * len(_FLOCK)
    question[_TYPE] = fcntl.F_WRLCK
    answer = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, struct.pack(_FLOCK, *question)))
    return None if answer[_TYPE] == fcntl.F_UNLCK else max(answer[_PID], 0)


class ServerLock:
    """Held by the watchdog and every process it starts; the suite passes the descriptor on and keeps none."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def try_take(self) -> int | None:
        """A descriptor that holds the lock, or None while some process of an earlier server lives."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        return descriptor
