"""The port of the object store, as promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Blob:
    """An object as it was read. `version` tells this content from any other that the key had or will have: opaque, for `replace`. A key
    that is given the same content again may have the version that it had then."""

    data: bytes
    content_type: str
    version: str


@dataclass(frozen=True, slots=True)
class Opened:
    """An object that is being read: its size in bytes, and its bytes in pieces of at most 64 KiB."""

    size: int
    content_type: str
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Entry:
    """An object in a list."""

    key: str
    size: int
    modified: datetime


class Blobs(Protocol):
    """Objects by key.

    A key is segments of `[A-Za-z0-9._-]`, none of them `.` or `..` or longer than 255, with `/` between, at most 512 characters; any other
    raises ValueError, since keys are made by us and never by callers. With a key `a/b` there is none `a`: a store may refuse the second
    with ValueError. A write is whole or not there, and durable once it has returned; a reader sees one version of an object from beginning
    to end. All methods raise Unavailable when the store can't be reached, refuses us, or is full, and give up after the time that was set.
    What was cancelled or has raised Unavailable may have been done or not. In a folder no write that was given up comes behind a `put` or
    `delete` of its key that was begun later; with S3 it may.
    """

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store an object, in the place of the one that was there."""
        ...

    async def put_pieces(self, key: str, pieces: AsyncIterator[bytes], content_type: str) -> None:
        """Store an object that comes in pieces, in their order and of any size, in the place of the one that was there; no more than a few
        blocks of it are in memory at once. Until the last piece is stored, readers find what was there before. What the iterator raises is
        raised, and then nothing was stored. It is closed in any case (`aclose`, when it has one). The time that was set is for each step of
        the store, and neither for the whole nor for what the iterator takes."""
        ...

    async def create(self, key: str, data: bytes, content_type: str) -> bool:
        """Store an object unless there is one; whether this call did. Of calls at the same time, from any process, one does."""
        ...

    async def replace(self, key: str, data: bytes, content_type: str, version: str) -> bool:
        """Store an object in the place of the one that `version` was read of; False when it is that no more, and then nothing was changed.
        Of calls at the same time with the same version, from any process, one succeeds. After Unavailable it may have been stored, so read
        again; `create` alike."""
        ...

    async def get(self, key: str, limit: int) -> Blob | None:
        """An object wholly; None when there is none. Raises ValueError when it has more than `limit` bytes."""
        ...

    def open(self, key: str) -> AbstractAsyncContextManager[Opened | None]:
        """An object to be read in pieces, while the block runs; None when there is none."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; those that are not there are no failure. Empty folders that stay behind are nobody's concern but the
        adapter's."""
        ...

    def list(self, prefix: str) -> AsyncIterator[Entry]:
        """The objects whose keys begin with `prefix`, which ends with `/` or is empty, in the order of their keys. What is written or
        removed meanwhile may be in it or not."""
        ...

    async def link(self, key: str, seconds: int) -> str:
        """An address under which anybody can read the object for so long, a week at most; empty where the store has no such thing. Nothing
        is asked of the store, so the object need not be there. Raises ValueError for another length of time."""
        ...

    async def ping(self) -> None:
        """Ask the store for an answer. Raises Unavailable, whose message says what the operator has to do."""
        ...
