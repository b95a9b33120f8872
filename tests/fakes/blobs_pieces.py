"""An object in pieces, for tests of what becomes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable


async def _nothing() -> None:
    return


class Pieces:
    """Gives these pieces, and then ends after `before_end`, which may look around, wait or fail; `closed` says whether it was told that
    nobody wants more."""

    def __init__(
        self, pieces: Iterable[bytes], *, before_end: Callable[[], Awaitable[None]] = _nothing
    ) -> None:
        self._pieces = iter(pieces)
        self._before_end = before_end
        self.closed = False

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        piece = next(self._pieces, None)
        if piece is None:
            await self._before_end()
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Nobody wants more."""
        self.closed = True
