"""Where pictures of messages come from: public addresses, and the image service."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from antiphon.image.v1 import image_pb2, image_pb2_grpc

from services.capabilities.identity.providers.service import ServiceTokens
from services.chat.errors import ImageServiceUnknown, ImageUnreachable
from services.chat.model import Image, Picture
from services.chat.ports import ImageSource, PictureTooLarge
from services.chat.providers.image_service import ImagesByRpc
from services.chat.providers.pictures import FetchedPictures, content_type_of
from services.infra.http.public import PublicFetch
from services.kernel.errors import NotFound, Unavailable
from services.kernel.secret import DeploymentSecret
from tests.fakes.chat_pictures import IMAGE_ID, JPEG, PNG, at
from tests.fakes.chat_upstream import Exchange, Script, upstream

LIMIT = 2_000
MADE = Image(image_id=IMAGE_ID, owner_token="t", path="images[0]")


@asynccontextmanager
async def fetching(
    *, everywhere: bool = False, images: ImageSource | None = None, seconds: float = 5.0
) -> AsyncIterator[FetchedPictures]:
    """What fetches pictures; from this machine, too, if it may `everywhere`."""
    public = PublicFetch(is_public=lambda _: True) if everywhere else PublicFetch()
    try:
        yield FetchedPictures(public, images, limit=LIMIT, seconds=seconds)
    finally:
        await public.aclose()


def sends(body: bytes, kind: str = "image/png", status: int = 200) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(status, kind, body)

    return script


async def silent(exchange: Exchange) -> None:
    await exchange.gone.wait()


async def test_a_picture_is_what_its_bytes_say() -> None:
    for data, kind, type_ in ((JPEG, "image/png", "image/jpeg"), (PNG, "text/html", "image/png")):
        async with upstream(sends(data, kind)) as server, fetching(everywhere=True) as pictures:
            found = await pictures.fetch("ana", at(server.base_url))
        assert found == Picture(data, type_)
        assert "authorization" not in server.exchanges[0].headers


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        (sends(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"), "neither PNG"),
        (sends(b""), "neither PNG"),
        (sends(PNG + bytes(LIMIT)), "more than 2000 bytes"),
        (sends(PNG, status=404), "404"),
        (silent, "too long"),
    ],
)
async def test_what_is_no_picture_is_told_with_its_field(script: Script, detail: str) -> None:
    async with upstream(script) as server, fetching(everywhere=True, seconds=0.3) as pictures:
        with pytest.raises(ImageUnreachable) as refused:
            await pictures.fetch("ana", at(server.base_url, "images[3]"))
    assert refused.value.reason == "IMAGE_UNREACHABLE"
    assert [violation.field for violation in refused.value.violations] == ["images[3]"]
    assert detail in refused.value.metadata["detail"]


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:{}/", "http://[::1]:{}/", "file:///etc/passwd", "http://a:b@c/"]
)
async def test_what_is_not_public_is_not_asked(uri: str) -> None:
    async with upstream(sends(PNG)) as server, fetching() as pictures:
        port = server.base_url.rpartition(":")[2].partition("/")[0]
        with pytest.raises(ImageUnreachable) as refused:
            await pictures.fetch("ana", at(uri.format(port), "images[0]"))
    assert refused.value.metadata == {"detail": "the address is not a public one"}
    assert not server.exchanges


@pytest.mark.parametrize(
    ("data", "type_"),
    [
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\x10\0\0\0WAVEfmt ", ""),
        (b"GIF89a\1\0\1\0", "image/gif"),
        (b"BM\0\0", ""),
        (b"\0\0\0\x1cftypavif", ""),
        (b"\x89PNG", ""),
    ],
)
def test_pictures_are_told_by_how_they_begin(data: bytes, type_: str) -> None:
    assert content_type_of(data) == type_


# -- the image service


class Source:
    """An image service that answers in one way."""

    def __init__(self, found: Picture | Exception | None) -> None:
        self.found = found
        self.asked: list[tuple[str, str, str, int]] = []

    async def image(self, user_id: str, image_id: str, owner_token: str, limit: int) -> Picture:
        self.asked.append((user_id, image_id, owner_token, limit))
        if self.found is None:
            await asyncio.Event().wait()
        if isinstance(self.found, Exception):
            raise self.found
        assert self.found is not None
        return self.found


async def test_an_image_is_looked_up_for_its_person() -> None:
    source = Source(Picture(PNG, "image/png"))
    async with fetching(images=source) as pictures:
        assert await pictures.fetch("ana", MADE) == Picture(PNG, "image/png")
    assert source.asked == [("ana", IMAGE_ID, "t", LIMIT)]


@pytest.mark.parametrize(
    ("found", "error"),
    [
        (NotFound.of("image.image", IMAGE_ID), NotFound),
        (PictureTooLarge(), ImageUnreachable),
        (Picture(b"<html>", "image/png"), ImageUnreachable),
        (None, Unavailable),
    ],
)
async def test_images_that_cannot_be_had(found: Picture | Exception | None, error: type[Exception]) -> None:
    async with fetching(images=Source(found), seconds=0.05) as pictures:
        with pytest.raises(error):
            await pictures.fetch("ana", MADE)


async def test_without_an_image_service_its_images_are_unknown() -> None:
    async with fetching() as pictures:
        with pytest.raises(ImageServiceUnknown) as refused:
            await pictures.fetch("ana", MADE)
    assert (refused.value.reason, refused.value.metadata) == ("SERVICE_UNKNOWN", {"service": "text_to_image"})


class Images(image_pb2_grpc.ImageServiceServicer):
    """Sends `files`, by format; what is `broken` lacks its end."""

    def __init__(
        self, files: Mapping[image_pb2.ImageFormat, bytes], broken: bool = False, failure: Any = None
    ) -> None:
        self.files = files
        self.broken = broken
        self.failure = failure
        self.asked: list[tuple[image_pb2.DownloadImageRequest, dict[str, str]]] = []

    async def DownloadImage(self, request: image_pb2.DownloadImageRequest, context: Any) -> Any:  # noqa: N802 - the contract's name.
        self.asked.append((request, dict(context.invocation_metadata())))
        if self.failure is not None:
            await context.abort(self.failure, "no")
        data = self.files[request.format]
        yield image_pb2.DownloadImageResponse(
            chunk=data[:100], content_type="image/any", total_bytes=len(data)
        )
        yield image_pb2.DownloadImageResponse(chunk=data[100:])
        if not self.broken:
            yield image_pb2.DownloadImageResponse(sha256=hashlib.sha256(data).hexdigest())


@asynccontextmanager
async def calling(service: Images) -> AsyncIterator[ImagesByRpc]:
    server = grpc.aio.server()
    image_pb2_grpc.add_ImageServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            tokens = ServiceTokens(DeploymentSecret(b"s" * 32), "chat")
            yield ImagesByRpc(image_pb2_grpc.ImageServiceStub(channel), tokens)
    finally:
        await server.stop(None)


FILES = {image_pb2.IMAGE_FORMAT_PNG: PNG, image_pb2.IMAGE_FORMAT_JPEG: JPEG}


async def test_an_image_comes_from_its_service_for_its_person() -> None:
    service = Images(FILES)
    async with calling(service) as images:
        assert (await images.image("ana", IMAGE_ID, "t", LIMIT)).data == PNG
        await images.image("", IMAGE_ID, "t", LIMIT)
    (request, metadata), (_, nobodys) = service.asked
    assert (request.image_id, request.owner_token) == (IMAGE_ID, "t")
    assert metadata["x-on-behalf-of"] == "ana"
    assert metadata["authorization"].startswith("Bearer ")
    assert "x-on-behalf-of" not in nobodys


async def test_an_image_that_is_too_large_comes_as_jpeg_or_not_at_all() -> None:
    service = Images(FILES)
    async with calling(service) as images:
        assert (await images.image("ana", IMAGE_ID, "", len(JPEG))).data == JPEG
        with pytest.raises(PictureTooLarge):
            await images.image("ana", IMAGE_ID, "", len(JPEG) - 1)


@pytest.mark.parametrize(
    ("service", "error"),
    [
        (Images(FILES, failure=grpc.StatusCode.NOT_FOUND), NotFound),
        (Images(FILES, failure=grpc.StatusCode.RESOURCE_EXHAUSTED), Unavailable),
        (Images(FILES, broken=True), Unavailable),
    ],
)
async def test_how_the_image_service_fails(service: Images, error: type[Exception]) -> None:
    async with calling(service) as images:
        with pytest.raises(error):
            await images.image("ana", IMAGE_ID, "", LIMIT)
