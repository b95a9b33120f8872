"""The threads that wait for a disk, so that the event loop does not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from services.capabilities.blobs.errors import StoreAway, StoreBusy

T = TypeVar("T")


class Threads:
    """A few threads and a bounded queue in front of them; `close` it when nobody will ask any more."""

    def __init__(self, *, workers: int, queue: int, timeout: float) -> None:
        """At most `workers` calls are worked on at once and `queue` wait; each is given up after `timeout` seconds."""
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="objects")
        self._free = workers + queue
        self._timeout = timeout
        self._lock = threading.Lock()

    async def run(self, work: Callable[[], T], undo: Callable[[T], None] | None = None) -> T:
        """What `work` returns. Who gives up, or is cancelled, does not stop a thread that is at it; `undo` is then given what it returns.

        Raises StoreBusy when too many wait, StoreAway when it takes too long.
        """
        with self._lock:
            if self._free == 0:
                raise StoreBusy("Too many calls wait for the object store; try again.")
            self._free -= 1
        future = self._executor.submit(work)
        future.add_done_callback(self._release)
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.wrap_future(future)
        except BaseException as error:
            if undo is not None:
                future.add_done_callback(lambda ended: _undone(ended, undo))
            if isinstance(error, TimeoutError):
                raise StoreAway("The disk of the object store does not answer in time.") from error
            raise

    def behind(self, work: Callable[[], None]) -> None:
        """Have `work` done when a thread is free, at the latest by `close`, while nobody waits for it. It is for what a call leaves behind,
        one at most, and so takes none of the places."""
        future = self._executor.submit(work)
        future.add_done_callback(lambda ended: work() if ended.cancelled() else None)

    def close(self) -> None:
        """Forget what waits, and let what runs end."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _release(self, _: Future[T]) -> None:
        # A call's place is free when the thread is done with it, which a caller that has gone away does not hasten.
        with self._lock:
            self._free += 1


def _undone(ended: Future[T], undo: Callable[[T], None]) -> None:
    if not ended.cancelled() and ended.exception() is None:
        undo(ended.result())
