"""The two faces of the client as one: what the synchronous one does is done in threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol, Self, cast

from antiphon.auth.v1 import auth_pb2

from antiphon_client import AsyncClient, Client
from antiphon_client._async_download import AsyncDownload
from antiphon_client._async_server_stream import AsyncServerStream
from antiphon_client._async_stream import AsyncStream
from antiphon_client._calls import Call
from antiphon_client._download import Download
from antiphon_client._downloading import DownloadReader
from antiphon_client._record import OnReconnect, RecordReader
from antiphon_client._server_stream import ServerStream
from antiphon_client._stream import Stream
from conformance.runners.python.messages import MessageReader
from conformance.runners.python.watched import WatchedChannel

_END = object()


class Face(Protocol):
    """A client. What streams is an asynchronous iterator, and what `stream`, `answer` and `download` return is left as a context, too."""

    async def login(self, email: str, password: str) -> auth_pb2.LoginResponse:
        """Logs in."""

    async def token(self) -> str:
        """The access token."""

    async def unary(self, call: Call[Any, Any], seconds: float) -> Any:
        """The response."""

    def stream(self, call: Call[Any, Any], seconds: float) -> Any:
        """The messages of a stream."""

    def pages(self, call: Call[Any, Any], seconds: float) -> AsyncIterator[Any]:
        """The responses of a list, page by page."""

    def answer(self, reader: RecordReader, seconds: float | None, on_reconnect: OnReconnect) -> Any:
        """The events of a generation."""

    def download(self, reader: DownloadReader, seconds: float) -> Any:
        """The bytes of a file."""

    async def close(self) -> None:
        """Closes the client."""


class AsyncFace:
    """The asynchronous client, as it is."""

    def __init__(self, address: str, **options: Any) -> None:
        self._client = AsyncClient(address, **options)
        self._transport = transport = cast(Any, self._client._transport)
        transport._opened = WatchedChannel(transport._channel)

    async def login(self, email: str, password: str) -> auth_pb2.LoginResponse:
        """Logs in."""
        return await self._client.login(email, password)

    async def token(self) -> str:
        """The access token."""
        return await self._client.access_token()

    async def unary(self, call: Call[Any, Any], seconds: float) -> Any:
        """The response."""
        return await self._client._unary(call, seconds)

    def stream(self, call: Call[Any, Any], seconds: float) -> Any:
        """The messages of a stream."""
        return AsyncServerStream(self._transport, MessageReader(call), seconds)

    def pages(self, call: Call[Any, Any], seconds: float) -> AsyncIterator[Any]:
        """The responses of a list."""
        return self._client._pages(call.method, call.request, seconds)

    def answer(self, reader: RecordReader, seconds: float | None, on_reconnect: OnReconnect) -> Any:
        """The events of a generation."""
        return AsyncStream(self._transport, reader, seconds, on_reconnect)

    def download(self, reader: DownloadReader, seconds: float) -> Any:
        """The bytes of a file."""
        return AsyncDownload(self._transport, reader, seconds)

    async def close(self) -> None:
        """Closes the client."""
        await self._client.close()


class SyncFace:
    """The synchronous client. A thread that is waited for no more goes on until its stream or its client is closed, or its time is over."""

    def __init__(self, address: str, **options: Any) -> None:
        self._client = Client(address, **options)
        self._transport = transport = cast(Any, self._client._transport)
        transport._channel = WatchedChannel(transport._channel)

    async def login(self, email: str, password: str) -> auth_pb2.LoginResponse:
        """Logs in."""
        return await asyncio.to_thread(self._client.login, email, password)

    async def token(self) -> str:
        """The access token."""
        return await asyncio.to_thread(self._client.access_token)

    async def unary(self, call: Call[Any, Any], seconds: float) -> Any:
        """The response."""
        return await asyncio.to_thread(self._client._unary, call, seconds)

    def stream(self, call: Call[Any, Any], seconds: float) -> Any:
        """The messages of a stream."""
        return Threaded(ServerStream(self._transport, MessageReader(call), seconds))

    def pages(self, call: Call[Any, Any], seconds: float) -> AsyncIterator[Any]:
        """The responses of a list."""
        return Threaded(self._client._pages(call.method, call.request, seconds))

    def answer(self, reader: RecordReader, seconds: float | None, on_reconnect: OnReconnect) -> Any:
        """The events of a generation."""
        return Threaded(Stream(self._transport, reader, seconds, on_reconnect))

    def download(self, reader: DownloadReader, seconds: float) -> Any:
        """The bytes of a file."""
        return Threaded(Download(self._transport, reader, seconds))

    async def close(self) -> None:
        """Closes the client."""
        await asyncio.to_thread(self._client.close)


class Threaded:
    """A blocking iterator, each step in a thread. Leaving its context closes it."""

    def __init__(self, blocking: Any) -> None:
        self._blocking = blocking

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        item = await asyncio.to_thread(next, self._blocking, _END)
        if item is _END:
            raise StopAsyncIteration
        return item

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await asyncio.to_thread(self._blocking.close)
