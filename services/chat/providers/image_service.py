"""The image service in another process, as a source of pictures."""

from __future__ import annotations

import hashlib

import grpc
from antiphon.image.v1 import image_pb2, image_pb2_grpc

from services.capabilities.identity.providers.service import ServiceTokens
from services.chat.model import Picture
from services.chat.ports import PictureTooLarge
from services.kernel.errors import NotFound, Unavailable

_SECONDS = 30.0
# The original first, as it is; what was drawn takes less as JPEG.
_FORMATS = (image_pb2.IMAGE_FORMAT_PNG, image_pb2.IMAGE_FORMAT_JPEG)


class ImagesByRpc:
    """Keeps the promises of `ports.ImageSource` by DownloadImage."""

    def __init__(self, stub: image_pb2_grpc.ImageServiceAsyncStub, tokens: ServiceTokens) -> None:
        self._stub = stub
        self._tokens = tokens

    async def image(self, user_id: str, image_id: str, owner_token: str, limit: int) -> Picture:
        """As the port says."""
        for format_ in _FORMATS:
            request = image_pb2.DownloadImageRequest(
                image_id=image_id, format=format_, owner_token=owner_token
            )
            try:
                found = await self._downloaded(request, user_id, limit)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    raise NotFound.of("image.image", image_id) from None
                raise Unavailable("the image service can't be asked for an image now; try again") from error
            if found is not None:
                return found
        raise PictureTooLarge

    async def _downloaded(
        self, request: image_pb2.DownloadImageRequest, user_id: str, limit: int
    ) -> Picture | None:
        """The image; None when it has more bytes. Whoever leaves early ends the call."""
        call = self._stub.DownloadImage(request, metadata=self._tokens.metadata(user_id), timeout=_SECONDS)
        data, content_type, sha256 = bytearray(), "", ""
        try:
            async for piece in call:
                content_type = content_type or piece.content_type
                sha256 = piece.sha256
                data += piece.chunk
                if max(len(data), piece.total_bytes) > limit:
                    return None
        finally:
            call.cancel()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise Unavailable("the image service has not sent the whole image; try again")
        return Picture(bytes(data), content_type)
