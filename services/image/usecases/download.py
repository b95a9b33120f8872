"""DownloadImage: an image's bytes, as they are stored or in another format."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from services.capabilities.blobs.ports import Blobs
from services.capabilities.upstream.errors import UnsupportedInput
from services.image.generation.objects import PNG, keys_of
from services.image.model import Format, Image
from services.image.ports import Codecs, ImageStore
from services.image.usecases.converting import Conversions, Converted
from services.kernel.errors import NotFound, ServiceError

log = structlog.get_logger(__name__)

CHUNK_BYTES = 64 * 1024
_WEBP_PIXELS = 16_383


@dataclass(slots=True)
class Download:
    """Bytes on their way: how many, of what type, in chunks of at most 64 KiB. `sha256` is that of all of them, once the last chunk was
    taken."""

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
    conversions: Conversions

    @asynccontextmanager
    async def __call__(self, image: Image, format_: Format, *, thumbnail: bool) -> AsyncIterator[Download]:
        """The image, to be read while the block runs. Raises NotFound when it is removed meanwhile, UnsupportedInput for a format that takes
        no image so large, CodecsOverloaded and Unavailable; INTERNAL when what is stored is not what was made."""
        if format_ is Format.WEBP and not thumbnail and max(image.width, image.height) > _WEBP_PIXELS:
            raise UnsupportedInput(
                "format", f"WebP takes at most {_WEBP_PIXELS} pixels a side; choose another"
            )
        if format_ is Format.PNG and not thumbnail:
            async with self.blobs.open(keys_of(image).original) as opened:
                if opened is None:
                    raise await self._missing(image)
                download = Download(opened.size, PNG, opened.chunks)
                download.chunks = self._checked(image, opened.chunks, download)
                yield download
        elif format_ is Format.PNG and (kept := await self._kept_thumbnail(image)) is not None:
            yield _download(_as_it_is(kept), format_)
        else:
            made = self.conversions.made(
                (image.image_id, thumbnail, format_),
                image.user_id or image.image_id,
                lambda: self._converted(image, format_, thumbnail=thumbnail),
            )
            async with made as converted:
                yield _download(converted, format_)

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

    async def _converted(self, image: Image, format_: Format, *, thumbnail: bool) -> Converted:
        png = await (self._thumbnail(image) if thumbnail else self._original(image))
        return (
            _as_it_is(png) if format_ is Format.PNG else Converted(*await self.codecs.convert(png, format_))
        )

    async def _original(self, image: Image) -> bytes:
        """The bytes of the original, which are what was stored."""
        try:
            blob = await self.blobs.get(keys_of(image).original, image.size_bytes)
        except ValueError:
            raise _damaged(image) from None
        if blob is None:
            raise await self._missing(image)
        if await asyncio.to_thread(_sha256, blob.data) != image.sha256:
            raise _damaged(image)
        return blob.data

    async def _kept_thumbnail(self, image: Image) -> bytes | None:
        blob = await self.blobs.get(keys_of(image).thumbnail, image.size_bytes + 1024**2)
        return None if blob is None else blob.data

    async def _thumbnail(self, image: Image) -> bytes:
        kept = await self._kept_thumbnail(image)
        if kept is not None:
            return kept
        # It can be made of the original at any time.
        adopted = await self.codecs.adopt(await self._original(image), {})
        await self._keep_thumbnail(image, adopted.thumbnail)
        return adopted.thumbnail

    async def _keep_thumbnail(self, image: Image, thumbnail: bytes) -> None:
        """Store it if the image is still there, behind that: before it, the removal of the image might be over by the time it is
        written."""
        key, there = keys_of(image).thumbnail, False
        try:
            await self.blobs.put(key, thumbnail, PNG)
            there = await self.store.image(image.image_id) is not None
        finally:
            if not there:
                await self.blobs.delete([key])
        if not there:
            raise NotFound.of("image.image", image.image_id)

    async def _missing(self, image: Image) -> ServiceError:
        if await self.store.image(image.image_id) is None:
            return NotFound.of("image.image", image.image_id)
        log.error("an image of the index is not in the object store", image_id=image.image_id)
        return ServiceError("the image is listed and its object is gone; tell the operator")


def _damaged(image: Image) -> ServiceError:
    log.error("the object of an image is not what was stored", image_id=image.image_id)
    return ServiceError("the stored image is damaged; tell the operator")


def _as_it_is(png: bytes) -> Converted:
    return Converted(png, _sha256(png))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _download(converted: Converted, format_: Format) -> Download:
    data = converted.data
    return Download(len(data), format_.value, _pieces(data), converted.sha256)


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]
