"""How long a model may be waited for while another one could still answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType


class Turn:
    """Bounds what is awaited within it: at `end`, in the loop's time, it raises TimeoutError if `may_end` agrees, else it goes on.

    `may_end` is asked only then, since it is costly to know whether there is another model, and mostly needless.
    """

    __slots__ = ("_end", "_limit", "_may_end", "_timer")

    def __init__(self, end: float, may_end: Callable[[], bool]) -> None:
        self._end = end
        self._may_end = may_end
        self._limit = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_over(self) -> bool:
        """Whether it was ended for having taken too long."""
        return self._limit.expired()

    def keep(self) -> None:
        """From now on there is no end."""
        if self._timer is not None:
            self._timer.cancel()
        if self._limit.when() is not None and not self.is_over:
            self._limit.reschedule(None)

    async def __aenter__(self) -> Turn:
        await self._limit.__aenter__()
        self._timer = asyncio.get_running_loop().call_at(self._end, self._look)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._limit.__aexit__(kind, error, trace)

    def _look(self) -> None:
        if self._may_end():
            self._limit.reschedule(self._end)
