"""One writer of an object at a time, among all processes of a machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import zlib
from collections.abc import Iterator

from services.capabilities.blobs.errors import StoreAway

_FILES = 64
_SHORTEST, _LONGEST = 0.0005, 0.005


@contextlib.contextmanager
def locked(folder: int, key: str, timeout: float) -> Iterator[None]:
    """Hold the lock of a key, a file in this folder that it shares with other keys; the kernel lets go of it when the process dies.

    Raises StoreAway when others hold it for `timeout` seconds.
    """
    name = f"{zlib.crc32(key.encode()) % _FILES:02x}.lock"
    lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        _wait(lock, timeout)
        yield
    finally:
        os.close(lock)


def _wait(lock: int, timeout: float) -> None:
    # The kernel would wait for as long as a stopped process stays stopped.
    deadline, pause = time.monotonic() + timeout, _SHORTEST
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise StoreAway("Another process holds the object for too long.") from None
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST)
