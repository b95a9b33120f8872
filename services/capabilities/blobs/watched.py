"""An object store whose failed writes are told to whoever runs it: once in the log, and to its check for as long as they last."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager

from services.capabilities.blobs.errors import StoreBusy
from services.capabilities.blobs.pieces import Counted
from services.capabilities.blobs.ports import Blob, Blobs, Entry, Opened
from services.kernel.errors import Unavailable
from services.kernel.outages import Outage

_log = logging.getLogger(__name__)

# A process that is not ready is given nothing to write, and would never learn that there is room again.
_REMEMBERED_SECONDS = 60.0


class WatchedBlobs:
    """`Blobs` of another store. A full one may still have room for what is small, so that what was too large has failed until something of
    its size is written, or a minute has gone by."""

    def __init__(self, blobs: Blobs, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._blobs = blobs
        self._clock = clock
        self._failed_at = float("-inf")
        self._failed_bytes = 0
        self._wrong: str | None = None
        self._outage = Outage(
            lambda why: _log.warning("the object store takes no writes", extra={"why": why}),
            lambda: _log.warning("the object store takes writes again"),
        )

    @property
    def refusing(self) -> str | None:
        """Why the last write failed, in words for an operator; None when it did not, or that is long ago."""
        return self._wrong if self._clock() - self._failed_at < _REMEMBERED_SECONDS else None

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        """See `Blobs`."""
        with self._writing(len(data)):
            await self._blobs.put(key, data, content_type)

    async def put_pieces(self, key: str, pieces: AsyncIterator[bytes], content_type: str) -> None:
        """See `Blobs`."""
        counted = Counted(pieces)
        try:
            await self._blobs.put_pieces(key, counted, content_type)
        except Unavailable as error:
            # Where the pieces come from may be unavailable as well, which says nothing of the store.
            if not counted.broken:
                self._refused(error, counted.size)
            raise
        self._taken(counted.size)

    async def create(self, key: str, data: bytes, content_type: str) -> bool:
        """See `Blobs`."""
        with self._writing(len(data)):
            return await self._blobs.create(key, data, content_type)

    async def replace(self, key: str, data: bytes, content_type: str, version: str) -> bool:
        """See `Blobs`."""
        with self._writing(len(data)):
            return await self._blobs.replace(key, data, content_type, version)

    async def get(self, key: str, limit: int) -> Blob | None:
        """See `Blobs`."""
        return await self._blobs.get(key, limit)

    def open(self, key: str) -> AbstractAsyncContextManager[Opened | None]:
        """See `Blobs`."""
        return self._blobs.open(key)

    async def delete(self, keys: Sequence[str]) -> None:
        """See `Blobs`."""
        await self._blobs.delete(keys)

    def list(self, prefix: str) -> AsyncIterator[Entry]:
        """See `Blobs`."""
        return self._blobs.list(prefix)

    async def link(self, key: str, seconds: int) -> str:
        """See `Blobs`."""
        return await self._blobs.link(key, seconds)

    async def ping(self) -> None:
        """See `Blobs`."""
        await self._blobs.ping()

    @contextlib.contextmanager
    def _writing(self, size: int) -> Iterator[None]:
        try:
            yield
        except Unavailable as error:
            self._refused(error, size)
            raise
        self._taken(size)

    def _refused(self, error: Unavailable, size: int) -> None:
        self._outage.pause(error.message)
        if not isinstance(error, StoreBusy):
            # Too much at once says nothing against the store.
            self._failed_bytes = max(size, self._failed_bytes)
            self._failed_at, self._wrong = self._clock(), error.message

    def _taken(self, size: int) -> None:
        if size >= self._failed_bytes or self.refusing is None:
            self._failed_bytes, self._wrong = 0, None
            self._outage.over()
