"""An image that is downloaded, across broken connections. `_async_image_download.py` is its mirror."""

from __future__ import annotations

from antiphon_client._downloading import DownloadReader, DownloadView
from antiphon_client._server_stream import ServerStream
from antiphon_client._sync import Transport


class ImageDownload(DownloadView, ServerStream[bytes]):
    """The bytes of an image, in chunks of at most 64 KiB. It is whole, and its digest is right, when the iteration ends; else that raises.

    An iterator and a context manager. Closing it, or leaving the block, ends the download. `close` may be called from another
    thread; the iteration ends then.
    """

    def __init__(self, transport: Transport, reader: DownloadReader, timeout: float | None) -> None:
        DownloadView.__init__(self, reader)
        ServerStream.__init__(self, transport, reader, timeout)
