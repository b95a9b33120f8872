"""DownloadImage: an image's bytes, as they are stored or in another format."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from services.capabilities.blobs.ports import Blobs
from services.image.generation.objects import PNG, keys_of
from services.image.model import Format, Image
from services.image.ports import Codecs, ImageStore
from services.kernel.errors import NotFound, ServiceError

log = structlog.get_logger(__name__)

CHUNK_BYTES = 64 * 1024


@dataclass(slots=True)
class Download:
    """Bytes on their way: how many, of what type, in chunks of at most 64 KiB. `sha256` is that of all of them, once the last chunk was taken."""

    size_bytes: int
    content_type: str
    chunks: AsyncIterator[bytes]
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class DownloadImage:
    """Sends images."""

    store: ImageStore
    blobs: Blobs
    codecs: Codecs

    @asynccontextmanager
    async def __call__(self, image: Image, format_: Format, *, thumbnail: bool) -> AsyncIterator[Download]:
        """The image, to be read while the block runs. Raises NotFound when it is removed meanwhile, CodecsOverloaded and Unavailable; INTERNAL when
        what is stored is not what was made."""
        if thumbnail:
            yield await self._converted(await self._thumbnail(image), format_)
        elif format_ is not Format.PNG:
            yield await self._converted(await self._original(image), format_)
        else:
            async with self.blobs.open(keys_of(image).original) as opened:
                if opened is None:
                    raise await self._missing(image)
                download = Download(opened.size, PNG, opened.chunks)
                download.chunks = self._checked(image, opened.chunks, download)
                yield download

    async def _checked(
        self, image: Image, chunks: AsyncIterator[bytes], download: Download
    ) -> AsyncIterator[bytes]:
        digest = hashlib.sha256()
        async for chunk in chunks:
            digest.update(chunk)
            yield chunk
        download.sha256 = digest.hexdigest()
        if download.sha256 != image.sha256:
            raise _damaged(image)

    async def _original(self, image: Image) -> bytes:
        blob = await self.blobs.get(keys_of(image).original, image.size_bytes)
        if blob is None:
            raise await self._missing(image)
        return blob.data

    async def _thumbnail(self, image: Image) -> bytes:
        keys = keys_of(image)
        blob = await self.blobs.get(keys.thumbnail, image.size_bytes + 1024**2)
        if blob is not None:
            return blob.data
        # It can be made of the original at any time.
        adopted = await self.codecs.adopt(await self._original(image), {})
        await self.blobs.put(keys.thumbnail, adopted.thumbnail, PNG)
        return adopted.thumbnail

    async def _converted(self, png: bytes, format_: Format) -> Download:
        if format_ is Format.PNG:
            data, sha256 = png, hashlib.sha256(png).hexdigest()
        else:
            data, sha256 = await self.codecs.convert(png, format_)
        return Download(len(data), format_.value, _pieces(data), sha256)

    async def _missing(self, image: Image) -> ServiceError:
        if await self.store.image(image.image_id) is None:
            return NotFound.of("image.image", image.image_id)
        log.error("an image of the index is not in the object store", image_id=image.image_id)
        return ServiceError("the image is listed and its object is gone; tell the operator")


def _damaged(image: Image) -> ServiceError:
    log.error("the object of an image is not what was stored", image_id=image.image_id)
    return ServiceError("the stored image is damaged; tell the operator")


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]
