"""Speech that is heard while it is made, across broken connections. `_async_speech_stream.py` is its mirror."""

from __future__ import annotations

from antiphon.speech.v1 import speech_pb2

from antiphon_client._record import OnReconnect
from antiphon_client._server_stream import ServerStream
from antiphon_client._speaking import SpeechReader, SpeechView
from antiphon_client._sync import Transport


class SpeechStream(SpeechView, ServerStream[speech_pb2.StreamSynthesizeResponse]):
    """The events of speech, each once and in order: `started`, then `audio` and `word`, and last `finished`. All data of the audio together are the
    file, whose header tells no length where the format is WAV or FLAC: `download_audio` gives the one that is stored.

    An iterator and a context manager. Closing it, or leaving the block, ends the speech, and nothing is kept unless it has finished.
    `close` may be called from another thread; the iteration ends then.
    """

    def __init__(
        self,
        transport: Transport,
        reader: SpeechReader,
        timeout: float | None,
        on_reconnect: OnReconnect | None = None,
    ) -> None:
        SpeechView.__init__(self, reader)
        ServerStream.__init__(self, transport, reader, timeout, on_reconnect)
