"""DownloadAudio: the bytes of a conversion's audio, as they are stored."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from services.capabilities.blobs.ports import Blobs
from services.kernel.errors import NotFound, ServiceError
from services.speech.generation.objects import keys_of
from services.speech.model import Conversion
from services.speech.ports import ConversionStore

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Download:
    """Bytes on their way: how many, in chunks of at most 64 KiB. `sha256` is that of all of them, once the last chunk was taken."""

    size_bytes: int
    chunks: AsyncIterator[bytes]
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class DownloadAudio:
    """Sends audio."""

    store: ConversionStore
    blobs: Blobs

    @asynccontextmanager
    async def __call__(self, conversion: Conversion) -> AsyncIterator[Download]:
        """The audio, to be read while the block runs. Raises NotFound when it is removed meanwhile, and Unavailable; INTERNAL when what is stored
        is not what was made."""
        async with self.blobs.open(keys_of(conversion).audio) as opened:
            if opened is None:
                raise await self._missing(conversion)
            download = Download(opened.size, opened.chunks)
            download.chunks = _checked(conversion, opened.chunks, download)
            yield download

    async def _missing(self, conversion: Conversion) -> ServiceError:
        if await self.store.conversion(conversion.conversion_id) is None:
            return NotFound.of("speech.conversion", conversion.conversion_id)
        log.error(
            "the audio of a conversion is not in the object store", conversion_id=conversion.conversion_id
        )
        return ServiceError("the conversion is listed and its audio is gone; tell the operator")


async def _checked(
    conversion: Conversion, chunks: AsyncIterator[bytes], download: Download
) -> AsyncIterator[bytes]:
    digest = hashlib.sha256()
    async for chunk in chunks:
        digest.update(chunk)
        yield chunk
    download.sha256 = digest.hexdigest()
    if download.sha256 != conversion.sha256:
        log.error("the audio of a conversion is not what was stored", conversion_id=conversion.conversion_id)
        raise ServiceError("the stored audio is damaged; tell the operator")
