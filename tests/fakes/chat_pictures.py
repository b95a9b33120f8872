"""Pictures for chats, and where they come from."""

from __future__ import annotations

import asyncio

from services.chat.model import Image, Picture
from services.kernel.errors import NotFound

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(100, 200))
IMAGE_ID = "0198c5a2-7d0e-7b5c-9a41-0c6b1f0a5d11"
CATALOG = """
[providers.stage]
base_url = "{}"

[[models]]
name = "seeing"
provider = "stage"
capabilities = ["vision"]

[[models]]
name = "blind"
provider = "stage"
"""
"""A model that sees and one that does not, to be completed with their address."""


def at(uri: str, path: str = "") -> Image:
    """A picture that is named by its address, in a request if it has a path there."""
    return Image(uri=uri, path=path)


class HungPictures:
    """`Pictures` that a test hangs up: whoever looks sees what hangs, and what does not is not found.

    Nothing comes while `gate` is closed. `asked` are those that were asked for, with their person.
    """

    def __init__(self) -> None:
        self.hung: dict[Image, Picture | Exception] = {}
        self.asked: list[tuple[str, Image]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    def hang(self, image: Image, found: Picture | Exception | bytes = PNG) -> Image:
        self.hung[image] = Picture(found, "image/png") if isinstance(found, bytes) else found
        return image

    async def fetch(self, user_id: str, image: Image) -> Picture:
        self.asked.append((user_id, image))
        await self.gate.wait()
        found = self.hung.get(image) or NotFound.of("image.image", image.image_id or image.uri)
        if isinstance(found, Exception):
            raise found
        return found
