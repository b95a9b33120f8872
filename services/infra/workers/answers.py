"""What a running job gives, and is given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from services.infra.workers.frames import Answer
from services.infra.workers.process import Worker


class Answers:
    """What a job gives, piece by piece. The worker waits while nobody takes the next one, once the pipe between them is full.

    Where the job wants more in its middle, the iteration ends there and `wants_more` is true; after `send` it can be iterated again.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._over = False
        self._closed = False

    def __aiter__(self) -> AsyncIterator[Answer]:
        return self

    async def __anext__(self) -> Answer:
        """Raises WorkerDied, JobTimedOut, JobRefused and JobFailed, and nothing comes after that."""
        if self._over:
            raise StopAsyncIteration
        self._over = True
        answer = await self._worker.answer()
        if answer is None:
            raise StopAsyncIteration
        self._over = False
        return answer

    @property
    def wants_more(self) -> bool:
        """Whether the job waits for `send`."""
        return self._worker.wants_more and not self._closed

    async def send(self, header: Mapping[str, Any], body: bytes = b"") -> None:
        """Give the job what it waits for. Raises WorkerDied and JobTimedOut, ValueError for what is too long for a frame, RuntimeError when
        the job does not wait: what is sent then would stop both, if the worker sends as well."""
        if not self.wants_more:
            raise RuntimeError("the job does not wait for more")
        await self._worker.more(header, body)
        self._over = False

    def close(self) -> None:
        """There are no more, for the worker is somebody else's."""
        self._over = True
        self._closed = True
