"""Auth in another process, as this one needs it: its keys, and whether it can be reached."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from antiphon.auth.v1 import auth_pb2_grpc

from services.capabilities.identity.providers.keys import CachedKeys, keys_by_rpc
from services.runtime.mounted import Mounted


class AuthPeer:
    """A connection to Auth: the keys of its tokens, and the check whether it can be reached."""

    def __init__(self, address: str, channel: grpc.aio.Channel, keys: CachedKeys) -> None:
        self.name = "auth"
        self.keys = keys
        self._address = address
        self._channel = channel

    async def check(self) -> str | None:
        """See `services.kernel.health.HealthCheck`. Looks at the connection alone, and keeps it up."""
        state = self._channel.get_state(try_to_connect=True)
        if state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN):
            return f"Auth can't be reached at {self._address}"
        return None

    def needed_by(self, service: Mounted) -> Mounted:
        """The service, ready only while Auth can be reached."""
        return dataclasses.replace(service, checks=(*service.checks, self))


@asynccontextmanager
async def keys_of_auth(address: str) -> AsyncIterator[AuthPeer]:
    """The connection, while the block runs. It is made when it is first needed, and again whenever it was lost."""
    options = [
        # A proxy of the surroundings is for the way out, not for the way to a peer.
        ("grpc.enable_http_proxy", 0),
        # By default a peer that was away for long is tried again only every two minutes.
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        keys = keys_by_rpc(auth_pb2_grpc.AuthServiceStub(channel))
        try:
            yield AuthPeer(address, channel, keys)
        finally:
            await keys.aclose()
