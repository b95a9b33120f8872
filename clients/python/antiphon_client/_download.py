"""A file that is downloaded, across broken connections. `_async_download.py` is its mirror."""

from __future__ import annotations

import os

from antiphon_client._downloading import DownloadReader, DownloadView
from antiphon_client._server_stream import ServerStream
from antiphon_client._sync import Transport
from antiphon_client._whole_file import WholeFile


class Download(DownloadView, ServerStream[bytes]):
    """The bytes of an image or of audio, in chunks of at most 64 KiB. They are whole, and their digest is right, when the iteration ends; else
    that raises.

    An iterator and a context manager. Closing it, or leaving the block, ends the download. `close` may be called from another
    thread; the iteration ends then.
    """

    def __init__(self, transport: Transport, reader: DownloadReader, timeout: float | None) -> None:
        DownloadView.__init__(self, reader)
        ServerStream.__init__(self, transport, reader, timeout)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes all of it to a file, which is there once it is whole; one that was there is replaced then. Raises OSError, too: for a missing
        folder before anything is asked for."""
        file = WholeFile(path)
        try:
            with self:
                for chunk in self:
                    file.write(chunk)
            file.put_in_place()
        finally:
            file.discard()
