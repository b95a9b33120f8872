"""An answer that is read asynchronously, across broken connections. `_stream.py` is its mirror."""

from __future__ import annotations

from antiphon.chat.v1 import chat_pb2

from antiphon_client._async import Transport
from antiphon_client._async_server_stream import AsyncServerStream
from antiphon_client._record import OnReconnect, RecordReader, StreamView


class AsyncStream(StreamView, AsyncServerStream[chat_pb2.ChatEvent]):
    """The events of an answer, each once and in order, over as many connections as it takes.

    An asynchronous iterator and context manager. Closing it, or leaving the block, ends the watching; what becomes of the
    generation then is told by its `on_disconnect`. `close` may be called from another task; the iteration ends then.
    """

    def __init__(
        self,
        transport: Transport,
        reader: RecordReader,
        timeout: float | None,
        on_reconnect: OnReconnect | None = None,
    ) -> None:
        StreamView.__init__(self, reader)
        AsyncServerStream.__init__(self, transport, reader, timeout, on_reconnect)
