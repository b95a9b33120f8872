"""Bytes that are kept until they are stored: few of them in memory, more in a file that has no name and so is gone with its process."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import IO, TypeVar

import structlog

from services.kernel.errors import Unavailable
from services.speech.errors import SpoolFull

log = structlog.get_logger(__name__)
T = TypeVar("T")

_IN_MEMORY_BYTES = 256 * 1024
_BLOCK_BYTES = 256 * 1024


class SpoolSpace:
    """The folder of a process's spools, and the bytes that all of them may hold together; the folder is made when a large one needs it."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder = folder
        self._left = most

    def take(self, count: int) -> None:
        """Hold so many more bytes. Raises SpoolFull."""
        if count > self._left:
            raise SpoolFull
        self._left -= count

    def give_back(self, count: int) -> None:
        """Hold so many less."""
        self._left += count


class Spool:
    """Bytes that are appended by one and read by any number, at any place that was written. `close` it when nobody will read any more. All
    that touches the disk is done in threads, and raises Unavailable when the disk is full or fails."""

    def __init__(self, space: SpoolSpace) -> None:
        self._space = space
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self.size = 0
        self._taken = 0
        self._patching = asyncio.Lock()

    async def append(self, data: bytes) -> None:
        """These come behind the others. By one at a time. Raises SpoolFull."""
        self._space.take(len(data))
        self._taken += len(data)
        if self._file is None and self.size + len(data) <= _IN_MEMORY_BYTES:
            self._memory += data
        else:
            if self._file is None:
                # Those who read meanwhile find all of it here, and then all of it there.
                self._file = await _on_disk(lambda: _file_of(self._space.folder, self._memory))
                self._memory = bytearray()
            file = self._file
            await _on_disk(lambda: _write(file, data))
        self.size += len(data)

    async def replace(self, patches: Sequence[tuple[int, bytes]]) -> None:
        """These are at their positions in the place of others that were written; nobody reads some of them and not the others."""
        if self._file is None:
            for position, data in patches:
                self._memory[position : position + len(data)] = data
        else:
            descriptor = self._file.fileno()
            async with self._patching:
                await _on_disk(lambda: [os.pwrite(descriptor, data, position) for position, data in patches])

    async def read(self, position: int, count: int) -> bytes:
        """So many bytes from there, fewer at the end."""
        if self._file is None:
            return bytes(self._memory[position : position + count])
        descriptor = self._file.fileno()
        async with self._patching:
            return await _on_disk(lambda: os.pread(descriptor, count, position))

    async def blocks(self, digest: hashlib._Hash) -> AsyncIterator[bytes]:
        """All bytes, in blocks, each of which the digest has taken."""
        for position in range(0, self.size, _BLOCK_BYTES):
            block = await self.read(position, _BLOCK_BYTES)
            await asyncio.to_thread(digest.update, block)
            yield block

    def close(self) -> None:
        """Let go of the bytes. May be called again."""
        self._space.give_back(self._taken)
        self._taken = 0
        self._memory.clear()
        if self._file is not None:
            self._file.close()


def _file_of(folder: Path, data: bytes | bytearray) -> IO[bytes]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - the spool closes it.
    try:
        _write(file, data)
    except BaseException:
        file.close()
        raise
    return file


def _write(file: IO[bytes], data: bytes | bytearray) -> None:
    if file.write(data) != len(data):
        raise OSError("the disk took a part of what was written")


async def _on_disk(work: Callable[[], T]) -> T:
    """Whoever is cancelled, and be it again, waits for the thread: the file must not be closed under it."""
    task = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait((task,))
        if not task.cancelled():
            # Nobody else looks at it.
            task.exception()
        raise
    except OSError as error:
        log.error("audio can't be kept on the disk until it is stored", error=error.strerror or str(error))
        raise Unavailable("the server has no room for this audio now; try again later") from error
