"""Objects in memory, with failures and pauses on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from services.capabilities.blobs.model import (
    PIECE_BYTES,
    check_content_type,
    check_link,
    segments_of,
    segments_of_prefix,
)
from services.capabilities.blobs.pieces import ended
from services.capabilities.blobs.ports import Blob, Entry, Opened
from services.kernel.errors import Unavailable


@dataclass(frozen=True)
class _Kept:
    blob: Blob
    modified: datetime


class MemoryBlobs:
    """`Blobs` in memory.

    `fail_next` makes the next calls fail before they do anything, of one method or of all. A write waits at `gate` while that is
    closed (`gate.clear()`), and `waiting` says how many do. `calls` are the names of all methods that were called, with their keys.
    """

    def __init__(self, *, links: str = "") -> None:
        """With `links`, such as `http://objects.test/`, a link is that and the key; without, there are none."""
        self._kept: dict[str, _Kept] = {}
        self._writes = 0
        self._links = links
        self._failures: list[tuple[str, int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0
        self.calls: list[tuple[str, str]] = []

    @property
    def objects(self) -> dict[str, bytes]:
        """What is kept, by key, in the order of the keys."""
        return {key: kept.blob.data for key, kept in sorted(self._kept.items())}

    def fail_next(self, count: int = 1, method: str = "") -> None:
        """The next calls raise Unavailable, of this method alone if it is named; `put`, `put_pieces`, `create`, `replace`, `get`, `open`,
        `delete`, `list`, `link` or `ping`."""
        self._failures.append((method, count))

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        """See `Blobs`."""
        await self._to_write("put", key, content_type)
        self._keep(key, data, content_type)

    async def put_pieces(self, key: str, pieces: AsyncIterator[bytes], content_type: str) -> None:
        """See `Blobs`."""
        async with ended(pieces):
            await self._to_write("put_pieces", key, content_type)
            self._keep(key, b"".join([piece async for piece in pieces]), content_type)

    async def create(self, key: str, data: bytes, content_type: str) -> bool:
        """See `Blobs`."""
        await self._to_write("create", key, content_type)
        if key in self._kept:
            return False
        self._keep(key, data, content_type)
        return True

    async def replace(self, key: str, data: bytes, content_type: str, version: str) -> bool:
        """See `Blobs`."""
        await self._to_write("replace", key, content_type)
        kept = self._kept.get(key)
        if kept is None or kept.blob.version != version:
            return False
        self._keep(key, data, content_type)
        return True

    async def get(self, key: str, limit: int) -> Blob | None:
        """See `Blobs`."""
        self._called("get", key)
        kept = self._kept.get(key)
        await asyncio.sleep(0)
        if kept is None:
            return None
        if len(kept.blob.data) > limit:
            raise ValueError(f"{key} has {len(kept.blob.data)} bytes, and {limit} were allowed")
        return kept.blob

    @asynccontextmanager
    async def open(self, key: str) -> AsyncIterator[Opened | None]:
        """See `Blobs`."""
        self._called("open", key)
        kept = self._kept.get(key)
        await asyncio.sleep(0)
        if kept is None:
            yield None
        else:
            yield Opened(len(kept.blob.data), kept.blob.content_type, _pieces(kept.blob.data))

    async def delete(self, keys: Sequence[str]) -> None:
        """See `Blobs`."""
        for key in keys:
            segments_of(key)
        await self._to_write("delete", *keys)
        for key in keys:
            self._kept.pop(key, None)

    async def list(self, prefix: str) -> AsyncIterator[Entry]:
        """See `Blobs`."""
        segments_of_prefix(prefix)
        self._told("list", prefix)
        for key, kept in sorted(self._kept.items()):
            if key.startswith(prefix):
                await asyncio.sleep(0)
                yield Entry(key, len(kept.blob.data), kept.modified)

    async def link(self, key: str, seconds: int) -> str:
        """See `Blobs`."""
        self._called("link", key)
        check_link(seconds)
        return f"{self._links}{key}?seconds={seconds}" if self._links else ""

    async def ping(self) -> None:
        """See `Blobs`."""
        self._told("ping", "")

    def _keep(self, key: str, data: bytes, content_type: str) -> None:
        if any(other.startswith(f"{key}/") or key.startswith(f"{other}/") for other in self._kept):
            raise ValueError(f"{key!r} is below an object or above one")
        self._writes += 1
        self._kept[key] = _Kept(Blob(bytes(data), content_type, f"write-{self._writes}"), datetime.now(UTC))

    async def _to_write(self, method: str, key: str = "", content_type: str | None = None, *_: str) -> None:
        if content_type is not None and method != "delete":
            segments_of(key)
            check_content_type(content_type)
        self._told(method, key)
        self.waiting += 1
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.waiting -= 1

    def _called(self, method: str, key: str) -> None:
        segments_of(key)
        self._told(method, key)

    def _told(self, method: str, key: str) -> None:
        self.calls.append((method, key))
        for position, (named, left) in enumerate(self._failures):
            if named in ("", method):
                self._failures[position : position + 1] = [(named, left - 1)] if left > 1 else []
                raise Unavailable("The object store is away; a test wants that.")


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), PIECE_BYTES):
        await asyncio.sleep(0)
        yield data[start : start + PIECE_BYTES]
