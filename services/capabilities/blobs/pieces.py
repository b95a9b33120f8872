"""An object on its way into a store, in pieces."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager


@asynccontextmanager
async def ended(pieces: AsyncIterator[bytes]) -> AsyncIterator[None]:
    """Close the iterator at the end of the block, when it can be closed."""
    try:
        yield
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()


@asynccontextmanager
async def in_blocks(pieces: AsyncIterator[bytes], size: int) -> AsyncIterator[AsyncIterator[bytes]]:
    """The same bytes in blocks of exactly `size`, of which the last one alone may have fewer, and none is empty. Closes `pieces`."""
    async with ended(pieces), aclosing(_cut(pieces, size)) as blocks:
        yield blocks


class Counted:
    """Pieces as they pass: `size` is how many bytes have, and `broken` whether their source failed."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self.size = 0
        self.broken = False

    def __aiter__(self) -> Counted:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            raise
        except BaseException:
            self.broken = True
            raise
        self.size += len(piece)
        return piece

    async def aclose(self) -> None:
        """Close the source, when it can be closed."""
        async with ended(self._pieces):
            pass


async def _cut(pieces: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes, None]:
    held = bytearray()
    async for piece in pieces:
        # A piece may be larger than a block, and is not copied as a whole.
        left = memoryview(piece)
        while left:
            room = size - len(held)
            held += left[:room]
            left = left[room:]
            if len(held) == size:
                yield bytes(held)
                held.clear()
    if held:
        yield bytes(held)
