"""The asynchronous client. `client.py` is its mirror."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from antiphon.chat.v1 import chat_pb2

from antiphon_client import _calls
from antiphon_client._async import Transport
from antiphon_client._async_accounts import AsyncAccountVerbs
from antiphon_client._async_images import AsyncImageVerbs
from antiphon_client._async_sessions import AsyncSessionVerbs
from antiphon_client._async_speech import AsyncSpeechVerbs
from antiphon_client._async_stream import AsyncStream
from antiphon_client._async_usage import AsyncUsageVerbs
from antiphon_client._calls import ChatOptions
from antiphon_client._options import TLS, Address, Keepalive, Retries, Timeouts
from antiphon_client._record import OnReconnect, RecordReader
from antiphon_client._tokens import TokenStore, store_of


class AsyncClient(AsyncAccountVerbs, AsyncSessionVerbs, AsyncImageVerbs, AsyncSpeechVerbs, AsyncUsageVerbs):
    """A connection to an Antiphon server. Belongs to one event loop; close it, or use it as a context manager.

    `server` is `host:port`, `http://host:port` (plain text), `https://host:port` (TLS) or `unix:/path`; without a scheme,
    loopback is spoken to in plain text and everything else over TLS. `token` is an access token or an API key; with
    `refresh_token` it is renewed by itself; a `store` keeps both between processes. Without any of them calls are anonymous until
    `login`.

    Every method raises AntiphonError. Calls that may safely be repeated are, as `retries` says; whatever generates or creates
    carries a `request_id` made for it, so that a repeated call does nothing twice. A `timeout` is in seconds, tries and
    pauses included; `math.inf` for none.
    """

    def __init__(
        self,
        server: str = "127.0.0.1:50051",
        *,
        token: str | None = None,
        refresh_token: str | None = None,
        store: TokenStore | None = None,
        tls: TLS | bool | None = None,
        retries: Retries | None = None,
        timeouts: Timeouts | None = None,
        keepalive: Keepalive | None = None,
    ) -> None:
        self._timeouts = timeouts or Timeouts()
        self._transport = Transport(
            Address.of(server, tls),
            keepalive or Keepalive(),
            retries or Retries(),
            store_of(token, refresh_token, store),
        )

    # Answers

    def stream(
        self,
        message: str | Sequence[chat_pb2.Message],
        *,
        on_reconnect: OnReconnect | None = None,
        **options: Unpack[ChatOptions],
    ) -> AsyncStream:
        """An answer, event by event, resumed by itself when the connection breaks.

        `message` is a text, answered in the context of the session, or the messages of a whole conversation. Events come as
        the server made them, durable before they are sent: `started` first, `finished` last. `on_reconnect` is told each time the connection
        has broken and is about to be sought again.
        """
        timeout = options.get("timeout")
        reader = RecordReader(_calls.stream_chat(message, options))
        limit = self._timeouts.stream if timeout is None else timeout
        return AsyncStream(self._transport, reader, limit, on_reconnect)

    async def chat(
        self, message: str | Sequence[chat_pb2.Message], **options: Unpack[ChatOptions]
    ) -> chat_pb2.ChatResponse:
        """A whole answer at once."""
        timeout = options.get("timeout")
        return await self._transport.unary(
            _calls.chat(message, options), self._timeouts.answer if timeout is None else timeout
        )

    def resume(
        self,
        generation_id: str,
        *,
        after_seq: int = 0,
        resume_token: str = "",
        on_reconnect: OnReconnect | None = None,
        timeout: float | None = None,
    ) -> AsyncStream:
        """The events of a generation after the position `after_seq`, and those to come."""
        reader = RecordReader(generation_id=generation_id, after_seq=after_seq, resume_token=resume_token)
        limit = self._timeouts.stream if timeout is None else timeout
        return AsyncStream(self._transport, reader, limit, on_reconnect)

    async def cancel(
        self, generation_id: str, *, resume_token: str = "", timeout: float | None = None
    ) -> chat_pb2.Generation:
        """Ends a running generation; what was made so far is kept. One that has ended already stays as it is."""
        request = chat_pb2.CancelGenerationRequest(generation_id=generation_id, resume_token=resume_token)
        return (await self._unary(_calls.call(_calls.CANCEL, request), timeout)).generation

    async def get_generation(
        self, generation_id: str, *, resume_token: str = "", timeout: float | None = None
    ) -> chat_pb2.Generation:
        """The state of a generation, and what it has made so far."""
        request = chat_pb2.GetGenerationRequest(generation_id=generation_id, resume_token=resume_token)
        return (await self._unary(_calls.call(_calls.GET_GENERATION, request), timeout)).generation

    # Models

    async def list_models(self, *, timeout: float | None = None) -> chat_pb2.ListModelsResponse:
        """The catalog of models, the default one first."""
        return await self._unary(_calls.call(_calls.LIST_MODELS, chat_pb2.ListModelsRequest()), timeout)

    async def count_tokens(
        self,
        message: str | Sequence[chat_pb2.Message],
        *,
        model: str = "",
        system_prompt: str = "",
        timeout: float | None = None,
    ) -> chat_pb2.CountTokensResponse:
        """How many tokens an input has: a text, or the messages of a whole conversation."""
        return await self._unary(_calls.count_tokens(message, model, system_prompt), timeout)

    async def close(self) -> None:
        """Ends the connection, and every call that is under way; tokens that are being changed are waited for, for a second."""
        await self._transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()
