"""The private PostgreSQL of a suite that was given no other, as the event loop sees it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from services.infra.postgres.server import EmbeddedServer


class EmbeddedPostgres:
    """A PostgreSQL that lives in `data_dir/postgres` and only as long as this process.

    One process owns a data directory at a time. However it ends, PostgreSQL ends with it, and the next start
    recovers.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        durable: bool = True,
        start_seconds: float = 120.0,
    ) -> None:
        """`settings` are PostgreSQL's own, over the defaults; `durable=False` risks the data for speed
        (tests).
        """
        self._server = EmbeddedServer(
            data_dir, settings=settings, durable=durable, start_seconds=start_seconds, on_lost=self._lose
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lost: asyncio.Future[str] | None = None

    @property
    def log_file(self) -> Path:
        return self._server.log_file

    @property
    def postmaster_pid(self) -> int | None:
        return self._server.postmaster_pid

    @property
    def watchdog_pid(self) -> int | None:
        return self._server.watchdog_pid

    async def start(self) -> str:
        """Starts the server and returns the URL of its database.

        Raises StartupError. When cancelled, it waits until nothing is left running.
        """
        self._loop = asyncio.get_running_loop()
        self._lost = self._loop.create_future()
        starting = asyncio.ensure_future(asyncio.to_thread(self._server.start))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            self._server.abandon()
            await _settled(starting)
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stops the server; returns (or passes a cancellation on) when it has ended. May be called twice."""
        await _finished(asyncio.ensure_future(asyncio.to_thread(self._server.stop)))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """The URL of the database, while the block runs."""
        url = await self.start()
        try:
            yield url
        finally:
            await self.stop()

    @contextlib.asynccontextmanager
    async def reach(self) -> AsyncIterator[str]:
        """The URL of the server that another suite runs here, or else of one started for the time of the
        block.

        For an operator's commands, which work beside a running suite and without one.
        """
        url = await asyncio.to_thread(self._server.url_of_running)
        if url is not None:
            yield url
            return
        async with self.running() as own:
            yield own

    async def lost(self) -> str:
        """Waits until the server ends without having been stopped, and returns the reason."""
        if self._lost is None:
            raise RuntimeError("the server has not been started")
        return await asyncio.shield(self._lost)

    def _lose(self, reason: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._tell, reason)

    def _tell(self, reason: str) -> None:
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(reason)


async def _finished(task: asyncio.Task[None]) -> None:
    """Awaits a task that must end, and only then lets a cancellation through."""
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await _settled(task)
        raise


async def _settled(task: asyncio.Future[object] | asyncio.Task[None] | asyncio.Task[str]) -> None:
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
