"""Codecs that keep their promises in this process and in well under a millisecond: they take PNG alone, and decode no pixels."""

import asyncio
import hashlib
import struct
import zlib
from collections.abc import Iterator, Mapping

from services.image.errors import CodecsOverloaded, ImageUnusable
from services.image.model import THUMBNAIL_PIXELS, Format, Size
from services.image.ports import Original
from services.kernel.errors import Unavailable

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"IHDR", b"PLTE", b"IDAT", b"IEND")


def picture(size: Size, colour: bytes = b"\x33\x66\x99", comment: str = "") -> bytes:
    """A PNG of one colour; with a comment in it, as foreign ones have."""
    line = bytes(1 + (size.width + 7) // 8)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", size.width, size.height, 1, 3, 0, 0, 0)),
        (b"PLTE", colour),
        *([(b"tEXt", b"Comment\0" + comment.encode("latin-1"))] if comment else []),
        (b"IDAT", zlib.compress(line * size.height, 1)),
        (b"IEND", b""),
    ]
    return _assembled(chunks)


def facts_of(png: bytes) -> dict[str, str]:
    """What is written in a PNG, by keyword."""
    texts = (body for name, body in _chunks(png) if name == b"iTXt")
    parted = (body.partition(b"\0\0\0\0\0") for body in texts)
    return {keyword.decode(): text.decode() for keyword, _, text in parted}


class PlainCodecs:
    """`image.ports.Codecs`. With `full` they convert nothing, with `dead` no worker can be had; `adopted` and `converted` count what was. An
    image waits at `gate` before it is adopted or converted while that is closed, and `waiting` says how many do."""

    def __init__(self, *, max_pixels: int = 16_777_216) -> None:
        self.max_pixels = max_pixels
        self.full = False
        self.dead = False
        self.adopted = 0
        self.converted = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0

    async def adopt(self, data: bytes, facts: Mapping[str, str]) -> Original:
        """See `image.ports.Codecs`."""
        self._look()
        await self._pass_gate()
        if not data.startswith(_SIGNATURE):
            raise ImageUnusable("what the provider sent is no image of a known format", "format")
        chunks = list(_chunks(data))
        if not chunks or chunks[-1][0] != b"IEND":
            raise ImageUnusable("what the provider sent ends too early", "truncated")
        width, height = struct.unpack_from(">II", chunks[0][1])
        if width * height > self.max_pixels:
            raise ImageUnusable("what the provider sent has too many pixels", "pixels")
        self.adopted += 1
        kept = [(name, body) for name, body in chunks if name in _KEPT]
        written = [(b"iTXt", key.encode() + b"\0\0\0\0\0" + text.encode()) for key, text in facts.items()]
        png = _assembled([kept[0], *written, *kept[1:]])
        longest = max(width, height, THUMBNAIL_PIXELS)
        small = Size(
            max(1, width * THUMBNAIL_PIXELS // longest), max(1, height * THUMBNAIL_PIXELS // longest)
        )
        return Original(png, picture(small), width, height, hashlib.sha256(png).hexdigest())

    async def draw(self, prompt: str, size: Size, style: str, seed: int) -> bytes:
        """See `image.ports.Codecs`."""
        self._look()
        return picture(size, hashlib.sha256(f"{prompt}|{size}|{style}|{seed}".encode()).digest()[:3])

    async def convert(self, png: bytes, format_: Format) -> tuple[bytes, str]:
        """See `image.ports.Codecs`. What is no PNG begins with its content type."""
        if self.full:
            raise CodecsOverloaded
        self._look()
        await self._pass_gate()
        self.converted += 1
        data = png if format_ is Format.PNG else format_.value.encode() + b"\n" + png
        return data, hashlib.sha256(data).hexdigest()

    def _look(self) -> None:
        if self.dead:
            raise Unavailable("images can't be worked on at the moment; try again")

    async def _pass_gate(self) -> None:
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks that are there wholly."""
    place = len(_SIGNATURE)
    while place + 12 <= len(png):
        length, name = struct.unpack_from(">I4s", png, place)
        if place + 12 + length > len(png):
            return
        yield name, png[place + 8 : place + 8 + length]
        place += 12 + length


def _assembled(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
