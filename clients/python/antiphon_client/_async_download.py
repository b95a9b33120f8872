"""A file that is downloaded asynchronously, across broken connections. `_download.py` is its mirror."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from antiphon_client._async import Transport
from antiphon_client._async_server_stream import AsyncServerStream
from antiphon_client._downloading import DownloadReader, DownloadView
from antiphon_client._whole_file import WholeFile


class AsyncDownload(DownloadView, AsyncServerStream[bytes]):
    """The bytes of an image or of audio, in chunks of at most 64 KiB. They are whole, and their digest is right, when the iteration ends; else
    that raises.

    An asynchronous iterator and context manager. Closing it, or leaving the block, ends the download. `close` may be called from
    another task; the iteration ends then.
    """

    def __init__(self, transport: Transport, reader: DownloadReader, timeout: float | None) -> None:
        DownloadView.__init__(self, reader)
        AsyncServerStream.__init__(self, transport, reader, timeout)

    async def save(self, path: str | os.PathLike[str]) -> None:
        """Writes all of it to a file, which is there once it is whole; one that was there is replaced then. Raises OSError, too: for a missing
        folder before anything is asked for."""
        file = WholeFile(path)
        try:
            async with self:
                async for chunk in self:
                    await _off_loop(file.write, chunk)
            await _off_loop(file.put_in_place)
        finally:
            await _off_loop(file.discard)


async def _off_loop(work: Callable[..., None], *values: bytes) -> None:
    # Whoever is cancelled meanwhile waits for the end of it: nothing is done to a file that a thread is at.
    thread = asyncio.create_task(asyncio.to_thread(work, *values))
    try:
        await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait([thread])
        raise
