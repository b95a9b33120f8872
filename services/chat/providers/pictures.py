"""Fetches the pictures that messages refer to: public ones by their address, and those of the image service."""

from __future__ import annotations

import asyncio

from services.chat.errors import ImageServiceUnknown, ImageUnreachable
from services.chat.model import Image, Picture
from services.chat.ports import ImageSource, PictureTooLarge
from services.infra.http.public import NotPublic, PublicFetch, Unfetched
from services.kernel.errors import Unavailable

_ACCEPT = "image/png, image/jpeg, image/webp, image/gif"
_MOST_SIGNS = 12


class FetchedPictures:
    """Keeps the promises of `ports.Pictures`: of at most `limit` bytes each, and within `seconds`. Without `images` nothing is known of the
    image service."""

    def __init__(
        self, public: PublicFetch, images: ImageSource | None, *, limit: int, seconds: float
    ) -> None:
        self._public = public
        self._images = images
        self._limit = limit
        self._seconds = seconds

    async def fetch(self, user_id: str, image: Image) -> Picture:
        """As the port says."""
        data = await (self._by_address(image) if image.uri else self._by_id(user_id, image))
        content_type = content_type_of(data)
        if not content_type:
            raise ImageUnreachable(image.path, "it is neither PNG nor JPEG, WebP or GIF")
        return Picture(data, content_type)

    async def _by_address(self, image: Image) -> bytes:
        try:
            fetched = await self._public.fetch(
                image.uri, limit=self._limit, seconds=self._seconds, accept=_ACCEPT
            )
        except NotPublic:
            # How a name that is not public resolves is nobody's business.
            raise ImageUnreachable(image.path, "the address is not a public one") from None
        except Unfetched as error:
            raise ImageUnreachable(image.path, str(error)) from None
        return fetched.data

    async def _by_id(self, user_id: str, image: Image) -> bytes:
        if self._images is None:
            raise ImageServiceUnknown
        try:
            async with asyncio.timeout(self._seconds):
                found = await self._images.image(user_id, image.image_id, image.owner_token, self._limit)
        except TimeoutError:
            raise Unavailable("the image service has not sent an image in time; try again") from None
        except PictureTooLarge:
            raise ImageUnreachable(image.path, f"it has more than {self._limit} bytes") from None
        return found.data


def content_type_of(data: bytes) -> str:
    """The media type of a picture by how its file begins, whatever its name or its sender says; empty for what is no picture that models
    take."""
    signs = data[:_MOST_SIGNS]
    if signs.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if signs.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if signs.startswith(b"RIFF") and signs.endswith(b"WEBP"):
        return "image/webp"
    if signs.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return ""
