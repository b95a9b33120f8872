"""An image that is downloaded asynchronously, across broken connections. `_image_download.py` is its mirror."""

from __future__ import annotations

from antiphon_client._async import Transport
from antiphon_client._async_server_stream import AsyncServerStream
from antiphon_client._downloading import DownloadReader, DownloadView


class AsyncImageDownload(DownloadView, AsyncServerStream[bytes]):
    """The bytes of an image, in chunks of at most 64 KiB. It is whole, and its digest is right, when the iteration ends; else that raises.

    An asynchronous iterator and context manager. Closing it, or leaving the block, ends the download. `close` may be called from
    another task; the iteration ends then.
    """

    def __init__(self, transport: Transport, reader: DownloadReader, timeout: float | None) -> None:
        DownloadView.__init__(self, reader)
        AsyncServerStream.__init__(self, transport, reader, timeout)
