"""Services in other processes, as this one needs them; of Auth its keys, whose API keys there are, what was revoked, and whether it can be
reached."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from antiphon.auth.v1 import auth_pb2_grpc

from services.bootstrap.peer_channel import PeerChannel
from services.bootstrap.peer_credentials import PeerTls
from services.capabilities.identity.providers.api_keys import ApiKeysByRpc
from services.capabilities.identity.providers.keys import CachedKeys, keys_by_rpc
from services.capabilities.identity.providers.revocations import RevocationsByRpc
from services.capabilities.identity.providers.service import ServiceTokens
from services.kernel.secret import DeploymentSecret
from services.runtime.mounted import Mounted

_OPTIONS = (
    # A proxy of the surroundings is for the way out, not for the way to a peer.
    ("grpc.enable_http_proxy", 0),
    # By default a peer that was away for long is tried again only every two minutes, and an attempt that nobody answers is given
    # twenty seconds. What was revoked meanwhile can't wait for that.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A path that swallows packets: the feed of revocations is broken off after three seconds of silence, and its next attempt
    # needs a new connection. The server allows pings every five seconds.
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.http2.max_pings_without_data", 0),
)


class AuthPeer:
    """A connection to Auth: the keys of its tokens, whose API keys there are, what was revoked, and the check whether it can be reached."""

    def __init__(
        self,
        address: str,
        channel: grpc.aio.Channel,
        secret: DeploymentSecret,
        service: str,
        offline_grace: float,
    ) -> None:
        self.name = "auth"
        stub = auth_pb2_grpc.AuthServiceStub(channel)
        tokens = ServiceTokens(secret, service)
        self.keys: CachedKeys = keys_by_rpc(stub, tokens, allowance=offline_grace)
        self.api_keys = ApiKeysByRpc(stub, tokens)
        self.revocations = RevocationsByRpc(stub, tokens)
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


def channel_to(address: str, tls: PeerTls) -> grpc.aio.Channel:
    """A channel to a peer, which is closed as a context manager: over TLS to an https address, else in plain text.
    The connection is made when it is first needed, and again whenever it was lost or certificates were replaced."""
    scheme, _, target = address.rpartition("://")
    if scheme == "https":
        return PeerChannel(target, tls, _OPTIONS)
    return grpc.aio.insecure_channel(target, options=list(_OPTIONS))


@asynccontextmanager
async def auth_at(
    address: str,
    tls: PeerTls,
    secret: DeploymentSecret,
    service: str,
    *,
    offline_grace: float,
) -> AsyncIterator[AuthPeer]:
    """The connection, while the block runs. It is made when it is first needed, and again whenever it was lost.

    `service` is what this process calls itself towards Auth, which believes it if `secret` is its own, too. Auth's keys are
    believed for `offline_grace` seconds without it.
    """
    async with channel_to(address, tls) as channel:
        peer = AuthPeer(address, channel, secret, service, offline_grace)
        try:
            yield peer
        finally:
            await peer.keys.aclose()
