"""Objects in a folder of this machine."""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from services.capabilities.blobs.errors import StoreAway, StoreBusy, StoreFull, StoreRefuses
from services.capabilities.blobs.model import (
    PIECE_BYTES,
    check_content_type,
    check_link,
    segments_of,
    segments_of_prefix,
)
from services.capabilities.blobs.pieces import in_blocks
from services.capabilities.blobs.ports import Blob, Entry, Opened
from services.capabilities.blobs.stores.file import OpenFile
from services.capabilities.blobs.stores.threads import Threads
from services.capabilities.blobs.stores.tree import Allowed, Tree
from services.capabilities.blobs.stores.walk import walked

T = TypeVar("T")

_WORKERS = 8
_QUEUE = 1000
_LISTED_AT_ONCE = 500
_DELETED_AT_ONCE = 100
_READ_AT_ONCE = 4 * PIECE_BYTES
_WRITTEN_AT_ONCE = 4 * 1024**2


class FolderBlobs:
    """`Blobs` in a folder, each object a file whose path is its key; there are no links. `close` it when nobody will ask any more.

    Any number of processes of a machine may share a folder. `version` is made of the file's number, date and size, and each file is dated
    later than the one that it replaces. An object that is read in pieces is the file that was opened, though it has been replaced or
    removed since. A write that was cancelled or raised is done by then, or at the latest before a later write or removal of its key, or
    never.
    """

    def __init__(self, folder: Path, timeout: float) -> None:
        """The folder is there; a call is given up after `timeout` seconds. Raises OSError where it can't be used."""
        self._tree = Tree(folder, timeout)
        self._threads = Threads(workers=_WORKERS, queue=_QUEUE, timeout=timeout)

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        """See `Blobs`."""
        await self._write(key, data, content_type, lambda _: True)

    async def put_pieces(self, key: str, pieces: AsyncIterator[bytes], content_type: str) -> None:
        """See `Blobs`."""
        async with in_blocks(pieces, _WRITTEN_AT_ONCE) as blocks:
            segments_of(key)
            check_content_type(content_type)
            first = await anext(blocks, b"")
            if len(first) < _WRITTEN_AT_ONCE:
                await self.put(key, first, content_type)
                return
            draft = await self._run(lambda: self._tree.begin(key, first, content_type), self._tree.discard)
            try:
                async for block in blocks:
                    await self._run(partial(self._tree.extend, draft, block))
                await self._settle(partial(self._tree.finish, draft, key), lambda _: True)
            except BaseException:
                self._threads.behind(partial(self._tree.discard, draft))
                raise

    async def create(self, key: str, data: bytes, content_type: str) -> bool:
        """See `Blobs`."""
        return await self._write(key, data, content_type, lambda present: present is None)

    async def replace(self, key: str, data: bytes, content_type: str, version: str) -> bool:
        """See `Blobs`."""
        return await self._write(key, data, content_type, lambda present: present == version)

    async def get(self, key: str, limit: int) -> Blob | None:
        """See `Blobs`."""
        segments_of(key)
        return await self._run(lambda: _read_all(self._tree.open(key), key, limit))

    @asynccontextmanager
    async def open(self, key: str) -> AsyncIterator[Opened | None]:
        """See `Blobs`."""
        segments_of(key)
        file = await self._run(lambda: self._tree.open(key), _closed)
        if file is None:
            yield None
            return
        try:
            yield Opened(file.size, file.content_type, self._pieces(file))
        finally:
            file.close()

    async def delete(self, keys: Sequence[str]) -> None:
        """See `Blobs`."""
        for key in keys:
            segments_of(key)
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            await self._run(partial(self._delete, keys[start : start + _DELETED_AT_ONCE]))

    async def list(self, prefix: str) -> AsyncIterator[Entry]:
        """See `Blobs`."""
        entries = walked(self._tree, segments_of_prefix(prefix))
        while batch := await self._run(lambda: [*islice(entries, _LISTED_AT_ONCE)]):
            for entry in batch:
                yield entry

    async def link(self, key: str, seconds: int) -> str:
        """See `Blobs`; there are none."""
        segments_of(key)
        check_link(seconds)
        return ""

    async def ping(self) -> None:
        """See `Blobs`."""
        await self._run(self._tree.probe)

    def close(self) -> None:
        """Wait for the calls that run, and let go of the folder."""
        self._threads.close()
        self._tree.close()

    async def _write(self, key: str, data: bytes, content_type: str, allowed: Allowed) -> bool:
        segments_of(key)
        check_content_type(content_type)
        return await self._settle(partial(self._tree.write, key, data, content_type), allowed)

    async def _settle(self, work: Callable[[Allowed], bool], allowed: Allowed) -> bool:
        given_up = threading.Event()

        def wanted(present: str | None) -> bool:
            return not given_up.is_set() and allowed(present)

        try:
            return await self._run(lambda: work(wanted))
        finally:
            # A thread that is still at it looks here last, under the lock that whoever writes or removes this key later has to wait for.
            given_up.set()

    def _delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._tree.delete(key)

    async def _pieces(self, file: OpenFile) -> AsyncIterator[bytes]:
        for start in range(0, file.size, _READ_AT_ONCE):
            block = await self._run(partial(file.read, start, _READ_AT_ONCE))
            for position in range(0, len(block), PIECE_BYTES):
                yield block[position : position + PIECE_BYTES]

    async def _run(self, work: Callable[[], T], undo: Callable[[T], None] | None = None) -> T:
        with _translated():
            return await self._threads.run(work, undo)


def _read_all(file: OpenFile | None, key: str, limit: int) -> Blob | None:
    if file is None:
        return None
    try:
        if file.size > limit:
            raise ValueError(f"{key} has {file.size} bytes, and {limit} were allowed")
        return Blob(file.read(0, file.size), file.content_type, file.version)
    finally:
        file.close()


def _closed(file: OpenFile | None) -> None:
    if file is not None:
        file.close()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
                raise StoreFull("The disk of the object store is full.") from error
            case errno.EACCES | errno.EPERM | errno.EROFS:
                raise StoreRefuses(
                    "The folder of the object store can't be read or written.",
                    "Make the folder and all that is in it belong to the user that runs the suite, and its file system writable.",
                ) from error
            case errno.EMFILE | errno.ENFILE:
                raise StoreBusy("Too many files are open; try again.") from error
            case _:
                raise StoreAway(f"The disk of the object store failed: {error.strerror}.") from error
