"""An answer that is read, across broken connections. `_async_stream.py` is its mirror."""

from __future__ import annotations

from antiphon.chat.v1 import chat_pb2

from antiphon_client._record import OnReconnect, RecordReader, StreamView
from antiphon_client._server_stream import ServerStream
from antiphon_client._sync import Transport


class Stream(StreamView, ServerStream[chat_pb2.ChatEvent]):
    """The events of an answer, each once and in order, over as many connections as it takes.

    An iterator and a context manager. Closing it, or leaving the block, ends the watching; what becomes of the generation then
    is told by its `on_disconnect`. `close` may be called from another thread; the iteration ends then.
    """

    def __init__(
        self,
        transport: Transport,
        reader: RecordReader,
        timeout: float | None,
        on_reconnect: OnReconnect | None = None,
    ) -> None:
        StreamView.__init__(self, reader)
        ServerStream.__init__(self, transport, reader, timeout, on_reconnect)
