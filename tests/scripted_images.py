# ruff: noqa: N802 - RPC methods carry the contract's names.
"""A scripted server that also plays Image: it makes images at once, whatever is asked for, and keeps them."""

from __future__ import annotations

import hashlib
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from antiphon.image.v1 import image_pb2, image_pb2_grpc

from tests.scripted_accounts import ScriptedAccounts, page
from tests.scripted_server import failing

OWNER_TOKEN = "it_secret"
Piece = image_pb2.DownloadImageResponse | Callable[[grpc.ServicerContext], object]
"""A message to send, or what to do at that point."""


def bytes_of(name: str, image_format: str = "PNG", thumbnail: bool = False) -> bytes:
    """What stands for the bytes of an image: others for each image, format and size."""
    return f"{name} {image_format} {'small' if thumbnail else 'large'} ".encode() * 16


def pieces(data: bytes, length: int = 64) -> list[image_pb2.DownloadImageResponse]:
    """A whole download, in messages with chunks of this length."""
    told = [
        image_pb2.DownloadImageResponse(chunk=data[at : at + length]) for at in range(0, len(data), length)
    ]
    told[0].content_type, told[0].total_bytes = "image/png", len(data)
    return [*told, image_pb2.DownloadImageResponse(sha256=hashlib.sha256(data).hexdigest())]


@dataclass
class ScriptedImages(ScriptedAccounts):
    """Keeps `images`, newest first. `downloads` is what the next downloads send; without one it is the image. Callers without a credential
    are given an owner token, and are asked for it."""

    images: list[image_pb2.Image] = field(default_factory=list)
    downloads: deque[Sequence[Piece]] = field(default_factory=deque)
    image_models: image_pb2.ListModelsResponse = field(default_factory=image_pb2.ListModelsResponse)
    generating: Callable[[grpc.ServicerContext], object] | None = None
    """What happens before images are made."""

    def add_services(self, server: grpc.Server) -> None:
        """Everything."""
        super().add_services(server)
        image_pb2_grpc.add_ImageServiceServicer_to_server(_Images(self), server)

    def add_image(self, prompt: str, *, user_id: str = "", size: str = "512x512") -> image_pb2.Image:
        """A new image."""
        image = image_pb2.Image(
            image_id=str(uuid.uuid4()),
            user_id=user_id,
            prompt=prompt,
            size=size,
            model="procedural",
            status=image_pb2.IMAGE_STATUS_COMPLETED,
            metadata=image_pb2.ImageMetadata(seed=42, width=512, height=512),
        )
        image.create_time.FromSeconds(1_800_000_000 + len(self.images))
        self.images.insert(0, image)
        return image


class _Images(image_pb2_grpc.ImageServiceServicer):
    def __init__(self, script: ScriptedImages) -> None:
        self._script = script

    def _found(self, request: Any, context: grpc.ServicerContext) -> image_pb2.Image:
        token = getattr(request, "owner_token", "")
        credential = "authorization" in dict(context.invocation_metadata())
        for image in self._script.images:
            if image.image_id == request.image_id and (credential or token == OWNER_TOKEN):
                return image
        absent = failing(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", resource=("image.image", request.image_id))
        absent(context)
        raise AssertionError("the call has been aborted")

    def GenerateImage(self, request: image_pb2.GenerateImageRequest, context: Any) -> Any:
        self._script.arrived("GenerateImage", request, context)
        if self._script.generating is not None:
            self._script.generating(context)
        anonymous = "authorization" not in dict(context.invocation_metadata())
        made = image_pb2.GenerateImageResponse()
        for index in range(request.count or 1):
            image = self._script.add_image(request.prompt, size=request.size or "512x512")
            image.metadata.index = index
            told = made.images.add()
            told.CopyFrom(image)
            if anonymous:
                told.owner_token = OWNER_TOKEN
        return made

    def GetImage(self, request: Any, context: Any) -> Any:
        self._script.arrived("GetImage", request, context)
        return image_pb2.GetImageResponse(image=self._found(request, context))

    def DownloadImage(self, request: image_pb2.DownloadImageRequest, context: Any) -> Iterator[Any]:
        self._script.arrived("DownloadImage", request, context)
        with self._script.lock:
            sent = self._script.downloads.popleft() if self._script.downloads else None
        if sent is None:
            image = self._found(request, context)
            name = image_pb2.ImageFormat.Name(request.format).removeprefix("IMAGE_FORMAT_")
            kind = "PNG" if name == "UNSPECIFIED" else name
            sent = pieces(bytes_of(image.prompt, kind, request.thumbnail))
        for each in sent:
            if isinstance(each, image_pb2.DownloadImageResponse):
                yield each
            else:
                each(context)

    def ListImages(self, request: Any, context: Any) -> Any:
        self._script.arrived("ListImages", request, context)
        items, following = page(self._script.images, request)
        return image_pb2.ListImagesResponse(images=items, next_page_token=following)

    def AdminListImages(self, request: Any, context: Any) -> Any:
        self._script.arrived("AdminListImages", request, context)
        items, following = page(self._script.images, request)
        return image_pb2.AdminListImagesResponse(images=items, next_page_token=following)

    def DeleteImage(self, request: Any, context: Any) -> Any:
        self._script.arrived("DeleteImage", request, context)
        self._script.images.remove(self._found(request, context))
        self._script.lose("DeleteImage", context)
        return image_pb2.DeleteImageResponse()

    def ListModels(self, request: Any, context: Any) -> Any:
        self._script.arrived("ListModels", request, context)
        return self._script.image_models
