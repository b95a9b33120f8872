"""Objects in a bucket of an S3 server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from services.capabilities.blobs.errors import NoSuchBucket, StoreAway, StoreRefuses, StoreUnavailable
from services.capabilities.blobs.model import (
    PIECE_BYTES,
    check_content_type,
    check_link,
    is_key,
    segments_of,
    segments_of_prefix,
)
from services.capabilities.blobs.pieces import in_blocks
from services.capabilities.blobs.ports import Blob, Entry, Opened
from services.capabilities.blobs.stores.s3_account import S3Account
from services.capabilities.blobs.stores.s3_failures import NoSuchObject, Unmet, translated
from services.capabilities.blobs.stores.turns import Turns

if TYPE_CHECKING:
    from obstore import AsyncWritableFile, GetResult, PutMode

PROBE = "~probe"
"""No object has this key, which no other method takes."""

_AT_ONCE = 64
_WAITING = 1000
_PART_BYTES = 8 * 1024**2
_PARTS_AT_ONCE = 4
_ABORT_SECONDS = 5.0
_LISTED_AT_ONCE = 1000


class S3Blobs:
    """`Blobs` in a bucket, which is there.

    `version` is the ETag, the one thing that S3 compares: a digest of the content. An object that is written again with a content that it
    had before has the version of then. Conditional writes are sent once, as a server that did one and could not say so would deny it to the
    second attempt; whoever is told Unavailable then reads what is there.
    """

    def __init__(self, account: S3Account) -> None:
        self._timeout = account.timeout
        self._client = account.client()
        self._once = account.client(retries=False)
        self._public = account.client(public=True)
        self._turns = Turns(at_once=_AT_ONCE, waiting=_WAITING)

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        """See `Blobs`."""
        import obstore

        segments_of(key)
        check_content_type(content_type)
        async with self._call():
            await obstore.put_async(
                self._client,
                key,
                data,
                attributes={"Content-Type": content_type},
                use_multipart=len(data) > 2 * _PART_BYTES,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )

    async def put_pieces(self, key: str, pieces: AsyncIterator[bytes], content_type: str) -> None:
        """See `Blobs`. Each part of 8 MiB is a step."""
        import obstore

        async with in_blocks(pieces, _PART_BYTES) as blocks:
            segments_of(key)
            check_content_type(content_type)
            part = await anext(blocks, b"")
            if len(part) < _PART_BYTES:
                await self.put(key, part, content_type)
                return
            upload = obstore.open_writer_async(
                self._client,
                key,
                attributes={"Content-Type": content_type},
                buffer_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )
            try:
                while part:
                    async with self._call():
                        await upload.write(part)
                    part = await anext(blocks, b"")
                async with self._call():
                    await upload.close()
            except BaseException as error:
                await self._abort(upload, error)
                raise

    async def create(self, key: str, data: bytes, content_type: str) -> bool:
        """See `Blobs`."""
        segments_of(key)
        return await self.put_if(key, data, content_type, "create")

    async def replace(self, key: str, data: bytes, content_type: str, version: str) -> bool:
        """See `Blobs`."""
        segments_of(key)
        return await self.put_if(key, data, content_type, {"e_tag": version})

    async def put_if(self, key: str, data: bytes, content_type: str, condition: PutMode) -> bool:
        """Store an object if the condition holds; whether it did. The key may be one that is none of an object."""
        import obstore

        check_content_type(content_type)
        attributes = {"Content-Type": content_type}
        try:
            async with self._call():
                await obstore.put_async(
                    self._once, key, data, attributes=attributes, mode=condition, use_multipart=False
                )
        except (Unmet, NoSuchObject):
            return False
        return True

    async def get(self, key: str, limit: int) -> Blob | None:
        """See `Blobs`."""
        import obstore

        segments_of(key)
        try:
            async with self._call():
                found = await obstore.get_async(self._client, key)
                if found.meta["size"] > limit:
                    raise ValueError(f"{key} has {found.meta['size']} bytes, and {limit} were allowed")
                data = bytes(await found.bytes_async())
        except NoSuchObject:
            return None
        version = found.meta["e_tag"]
        if not version:
            raise StoreRefuses("The object store gives no ETags.", "It needs to; use another server.")
        return Blob(data, _type_of(found), version)

    @asynccontextmanager
    async def open(self, key: str) -> AsyncIterator[Opened | None]:
        """See `Blobs`."""
        import obstore

        segments_of(key)
        found: GetResult | None = None
        with suppress(NoSuchObject):
            async with self._call():
                found = await obstore.get_async(self._client, key)
        if found is None:
            yield None
        else:
            yield Opened(found.meta["size"], _type_of(found), self._pieces(found))

    async def delete(self, keys: Sequence[str]) -> None:
        """See `Blobs`."""
        for key in keys:
            segments_of(key)
        if keys:
            await self.remove(keys)

    async def remove(self, keys: Sequence[str]) -> None:
        """Remove objects; the keys may be such that are none of an object."""
        import obstore

        with suppress(NoSuchObject):
            async with self._call():
                # MinIO's answer to a key that is named twice is not well-formed.
                await obstore.delete_async(self._client, [*dict.fromkeys(keys)])

    async def list(self, prefix: str) -> AsyncIterator[Entry]:
        """See `Blobs`."""
        import obstore

        segments_of_prefix(prefix)
        found = obstore.list(self._client, prefix.rstrip("/") or None, chunk_size=_LISTED_AT_ONCE)
        while True:
            async with self._call():
                batch = await anext(found, None)
            if batch is None:
                return
            for entry in batch:
                # A bucket may hold what others put there.
                if is_key(entry["path"]):
                    yield Entry(entry["path"], entry["size"], entry["last_modified"])

    async def link(self, key: str, seconds: int) -> str:
        """See `Blobs`."""
        import obstore

        segments_of(key)
        check_link(seconds)
        return await obstore.sign_async(self._public, "GET", key, timedelta(seconds=seconds))

    async def ping(self) -> None:
        """See `Blobs`."""
        import obstore

        with suppress(NoSuchObject):
            async with self._call():
                await obstore.get_async(self._once, PROBE)

    async def exists(self) -> bool:
        """Whether the bucket is there. Raises Unavailable as `ping` does."""
        try:
            await self.ping()
        except NoSuchBucket:
            return False
        return True

    async def _abort(self, upload: AsyncWritableFile, why: BaseException) -> None:
        """Have the server forget the parts of an upload, if it answers, and if it was not told yet that they are all."""
        with suppress(StoreUnavailable, NoSuchObject, Unmet, TimeoutError):
            async with asyncio.timeout(min(self._timeout, _ABORT_SECONDS)):
                with translated():
                    # It aborts when it is left by a failure.
                    await upload.__aexit__(type(why), why, None)

    async def _pieces(self, found: GetResult) -> AsyncIterator[bytes]:
        stream = found.stream(PIECE_BYTES)
        while True:
            async with self._call():
                block = await anext(stream, None)
            if block is None:
                return
            for start in range(0, len(block), PIECE_BYTES):
                yield bytes(block[start : start + PIECE_BYTES])

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout), self._turns.turn():
                with translated():
                    yield
        except TimeoutError:
            raise StoreAway("The object store does not answer in time.") from None


def _type_of(found: GetResult) -> str:
    return found.attributes.get("Content-Type", "application/octet-stream")
