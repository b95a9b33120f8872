"""Bytes that a process takes from others and holds in memory, counted for all calls together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Share:
    """What one call holds of a budget; made by `ByteBudget.share`."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.held_bytes = 0
        self.lacks_room = False
        """Whether it waits to grow, or has waited in vain."""

    def take(self, count: int) -> bool:
        """Whether there was room for so many more bytes at once; then they are held."""
        if not self._budget.take(self._more(count)):
            return False
        self.held_bytes += count
        return True

    async def grow(self, count: int) -> None:
        """Hold so many more bytes, as soon as there is room for them. Whoever awaits it bounds the time."""
        if more := self._more(count):
            self.lacks_room = True
            await self._budget.grow(self, more)
            self.lacks_room = False
        self.held_bytes += count

    def shrink(self, count: int) -> None:
        """Hold so many bytes less."""
        self.held_bytes -= count
        self._budget.give_back(self, self._more(count))

    def release(self) -> None:
        """Hold nothing. May be called again."""
        self.shrink(self.held_bytes)

    def _more(self, count: int) -> int:
        return self._budget.counted(self.held_bytes + count) - self._budget.counted(self.held_bytes)


class ByteBudget:
    """Bounds what the shares of all calls hold together to `most` bytes; the first `free` of each are not counted, so that small ones never
    wait.

    Shares that grow piece by piece could wait for one another for ever, each with some bytes held. So of `most` there is kept room for the
    `largest` one: when nothing else is left, whoever waits first goes on into that, alone, until it is released.
    """

    def __init__(self, most: int, *, largest: int = 0, free: int = 0) -> None:
        self._shared = most - largest
        self._free = free
        self._waiting: deque[tuple[Share, int, asyncio.Future[None]]] = deque()
        self._ahead: Share | None = None
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """What is counted now."""
        return self._held_bytes

    @contextmanager
    def share(self) -> Iterator[Share]:
        """A share, released at the end of the block."""
        share = Share(self)
        try:
            yield share
        finally:
            share.release()

    def counted(self, held: int) -> int:
        """How many count of so many bytes that one share holds."""
        return max(0, held - self._free)

    def take(self, count: int) -> bool:
        """Count so many more bytes if there is room, whoever waits."""
        if count and self._held_bytes + count > self._shared:
            return False
        self._held_bytes += count
        return True

    async def grow(self, share: Share, count: int) -> None:
        """Count so many more bytes for a share, in turn."""
        if (share is self._ahead or not self._waiting) and self._entered(share, count):
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((share, count, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.give_back(share, count)
            self._serve()
            raise

    def give_back(self, share: Share, count: int) -> None:
        """So many bytes of a share are held no more."""
        self._held_bytes -= count
        if share is self._ahead and not self.counted(share.held_bytes):
            self._ahead = None
        self._serve()

    def _entered(self, share: Share, count: int) -> bool:
        if self._held_bytes + count > self._shared and share is not self._ahead:
            if self._ahead is not None:
                return False
            self._ahead = share
        self._held_bytes += count
        return True

    def _serve(self) -> None:
        while self._waiting:
            share, count, turn = self._waiting[0]
            if not turn.done():
                if not self._entered(share, count):
                    return
                turn.set_result(None)
            self._waiting.popleft()
