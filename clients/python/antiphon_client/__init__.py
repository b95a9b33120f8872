"""Typed Python client of an Antiphon server, synchronous and asynchronous; needs the generated stubs, grpcio and protobuf alone.

    with Client("127.0.0.1:50051") as client:
        for event in client.stream("Why is the sky blue?"):
            print(event.text_delta.text, end="", flush=True)

Requests and answers are the contract's own messages (`antiphon.auth.v1`, `antiphon.chat.v1`, `antiphon.image.v1`, `antiphon.speech.v1`, `antiphon.analytics.v1`); failures are in `errors`.
"""

from antiphon_client._async_download import AsyncDownload
from antiphon_client._async_server_stream import AsyncServerStream
from antiphon_client._async_speech_stream import AsyncSpeechStream
from antiphon_client._async_stream import AsyncStream
from antiphon_client._calls import ChatOptions
from antiphon_client._download import Download
from antiphon_client._options import TLS, Address, Keepalive, Retries, Timeouts
from antiphon_client._record import Reconnect
from antiphon_client._server_stream import ServerStream
from antiphon_client._speech_calls import SpeechOptions
from antiphon_client._speech_stream import SpeechStream
from antiphon_client._stream import Stream
from antiphon_client._tokens import MemoryTokenStore, Tokens, TokenStore
from antiphon_client._usage_calls import SpanOptions
from antiphon_client.async_client import AsyncClient
from antiphon_client.client import Client
from antiphon_client.errors import AntiphonError

ImageDownload, AsyncImageDownload = Download, AsyncDownload
"""What downloads were called when only images had any."""

__all__ = [
    "TLS",
    "Address",
    "AntiphonError",
    "AsyncClient",
    "AsyncDownload",
    "AsyncImageDownload",
    "AsyncServerStream",
    "AsyncSpeechStream",
    "AsyncStream",
    "ChatOptions",
    "Client",
    "Download",
    "ImageDownload",
    "Keepalive",
    "MemoryTokenStore",
    "Reconnect",
    "Retries",
    "ServerStream",
    "SpanOptions",
    "SpeechOptions",
    "SpeechStream",
    "Stream",
    "Timeouts",
    "TokenStore",
    "Tokens",
]
