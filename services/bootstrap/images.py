"""The images of this process, for Chat in the same process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.chat.model import Picture
from services.chat.ports import PictureTooLarge
from services.image.errors import CodecsOverloaded
from services.image.model import Format
from services.kernel.errors import Unavailable
from services.kernel.principal import ANONYMOUS, Kind, Principal

if TYPE_CHECKING:
    from services.image.model import Image
    from services.image.wiring import ImageService


class LocalImages:
    """Keeps the promises of `services.chat.ports.ImageSource`."""

    def __init__(self, images: ImageService) -> None:
        self._images = images

    async def image(self, user_id: str, image_id: str, owner_token: str, limit: int) -> Picture:
        """As the port says: the original when it is small enough, else as JPEG."""
        principal = Principal(Kind.USER, user_id) if user_id else ANONYMOUS
        image = await self._images.find(principal, image_id, owner_token)
        if image.size_bytes <= limit:
            return await self._downloaded(image, Format.PNG, limit)
        return await self._downloaded(image, Format.JPEG, limit)

    async def _downloaded(self, image: Image, format_: Format, limit: int) -> Picture:
        try:
            async with self._images.download(image, format_, thumbnail=False) as download:
                if download.size_bytes > limit:
                    raise PictureTooLarge
                return Picture(b"".join([chunk async for chunk in download.chunks]), download.content_type)
        except CodecsOverloaded as error:
            # The chat's own limits are not reached.
            raise Unavailable("too many images are being converted now; try again") from error
