"""A channel to a peer over TLS whose certificates may be replaced, which a channel of gRPC's takes once."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import grpc

from services.bootstrap.peer_credentials import PeerTls


class PeerChannel(grpc.aio.Channel):
    """Calls that begin after certificates were replaced go over a new connection; the old one is closed when its last call has ended."""

    def __init__(self, target: str, tls: PeerTls, options: Sequence[tuple[str, Any]]) -> None:
        self._target = target
        self._tls = tls
        self._options = options
        self._credentials = tls.credentials()
        self._channel = self._opened()
        self._calls: weakref.WeakSet[grpc.aio.Call] = weakref.WeakSet()
        self._left: dict[asyncio.Task[None], grpc.aio.Channel] = {}

    def current(self) -> grpc.aio.Channel:
        """gRPC's own channel, with the credentials that are in force."""
        credentials = self._tls.credentials()
        if credentials is not self._credentials:
            leaving = asyncio.get_running_loop().create_task(_close_after(self._channel, list(self._calls)))
            self._left[leaving] = self._channel
            leaving.add_done_callback(self._left.pop)
            self._credentials = credentials
            self._channel = self._opened()
            self._calls = weakref.WeakSet()
        return self._channel

    def begun(self, call: grpc.aio.Call) -> None:
        """Told of each call over the current channel."""
        self._calls.add(call)

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "unary_unary", args, kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "unary_stream", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "stream_stream", args, kwargs)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self.current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self.current().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self.current().channel_ready()

    async def close(self, grace: float | None = None) -> None:
        left = dict(self._left)
        for leaving in left:
            leaving.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.gather(*(each.close(grace) for each in (*left.values(), self._channel)))

    async def __aenter__(self) -> PeerChannel:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def _opened(self) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(self._target, self._credentials, options=list(self._options))


async def _close_after(channel: grpc.aio.Channel, calls: Iterable[grpc.aio.Call]) -> None:
    # gRPC's own grace period can't be cut short: a channel that is closing can't be closed.
    for call in calls:
        await call.code()
    await channel.close()


class _Method:
    """An RPC, called over the channel that is current then."""

    def __init__(
        self, channel: PeerChannel, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self._channel = channel
        self._kind = kind
        self._args = args
        self._kwargs = kwargs
        self._of: grpc.aio.Channel | None = None
        self._call: Any = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        current = self._channel.current()
        if current is not self._of:
            self._call = getattr(current, self._kind)(*self._args, **self._kwargs)
            self._of = current
        call = self._call(*args, **kwargs)
        self._channel.begun(call)
        return call
