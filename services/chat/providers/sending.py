"""The body of a request to a model, which is sent piece by piece."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from weakref import WeakSet

import aiohttp
from aiohttp.http import StreamWriter
from aiohttp.payload import Payload

from services.chat.model import Picture

# Encoded at once, which takes well below a millisecond; a multiple of three, so that what is encoded can be strung together.
_AT_ONCE = 48 * 1024


class Body(Payload):
    """Pieces that follow one another, pictures in base64. It tells when it is sent, which is when there is a connection; `used` are those
    that have carried one."""

    def __init__(
        self, pieces: Sequence[bytes | Picture], reached: Callable[[], None], used: WeakSet[object]
    ) -> None:
        super().__init__(pieces, content_type="application/json")
        self._size = sum(len(one) if isinstance(one, bytes) else _encoded_size(one) for one in pieces)
        self._pieces = pieces
        self._reached = reached
        self._used = used
        self.over_used = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """All of it as text."""
        return b"".join(self._chunks()).decode(encoding, errors)

    async def write(self, writer: aiohttp.abc.AbstractStreamWriter) -> None:
        """Send all of it."""
        await self.write_with_length(writer, None)

    async def write_with_length(
        self, writer: aiohttp.abc.AbstractStreamWriter, content_length: int | None
    ) -> None:
        """The same; the length is what was announced, since all of it is sent."""
        if isinstance(writer, StreamWriter):
            self.over_used = writer.protocol in self._used
            self._used.add(writer.protocol)
        self._reached()
        first = True
        for chunk in self._chunks():
            if not first:
                # An endpoint that takes all at once would otherwise leave nobody else a turn.
                await asyncio.sleep(0)
            first = False
            await writer.write(chunk)

    def _chunks(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            for start in range(0, len(piece.data), _AT_ONCE):
                yield b64encode(piece.data[start : start + _AT_ONCE])


def _encoded_size(picture: Picture) -> int:
    return (len(picture.data) + 2) // 3 * 4
