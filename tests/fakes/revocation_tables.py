"""The feed's table on PostgreSQL as tests fill it, with an outage at will, and Auth's part of a server that serves the feed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import grpc
from antiphon.auth.v1 import auth_pb2_grpc

from services.auth.providers.revocation_log import RevocationLog
from services.auth.servicer import AuthServicer
from services.auth.stores.revocations import SqlRevocations
from services.auth.usecases.verify_token import VerifyToken
from services.capabilities.identity import wiring as identity_wiring
from services.capabilities.identity.ports import CredentialVerifier
from services.capabilities.identity.revocations import Revocation, RevocationKind
from services.infra.postgres.database import Database
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from services.kernel.secret import DeploymentSecret
from services.runtime.logs import Log
from services.runtime.metrics import Metrics
from services.runtime.mounted import Mounted
from services.runtime.server import Server
from services.settings import ServerSettings
from tests.fakes.no_auth import NoApiKeys, NothingRevoked

SECRET = DeploymentSecret(b"d" * 32)
LIFE = timedelta(minutes=15)


class Table:
    """SqlRevocations, which can be taken away for a while."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.sql = SqlRevocations(database, LIFE)
        self.away = False

    async def current(self, after: int, limit: int) -> Sequence[Revocation]:
        self._check()
        return await self.sql.current(after, limit)

    async def after(self, position: int, limit: int) -> Sequence[Revocation]:
        self._check()
        return await self.sql.after(position, limit)

    async def last(self) -> int:
        self._check()
        return await self.sql.last()

    def _check(self) -> None:
        if self.away:
            raise Unavailable("The database does not answer now; try again.")

    async def add(self, *subjects: str, kind: RevocationKind = RevocationKind.SESSION) -> list[str]:
        """Add an entry for each subject, a new one without any; the subjects."""
        added = list(subjects) or [new_id()]
        async with self.database.engine.begin() as connection:
            await self.sql.add(connection, kind, added)
        self.sql.announce()
        return added

    async def run(self, statement: str, *values: object) -> None:
        async with self.database.connection() as connection:
            await connection.execute(statement.encode(), values)

    async def expire(self, *subjects: str) -> None:
        """Let entries be of no more use."""
        await self.run(
            "update auth.revocations set expires_at = now() - interval '1 second' where subject_id = any(%s::uuid[])",
            list(subjects),
        )


class _NoKeys:
    def known(self, kid: str) -> Any:
        return None

    async def find(self, kid: str) -> Any:
        return None


@dataclass
class Peer:
    """A server with the feed, and the way to it."""

    address: str
    channel: grpc.aio.Channel
    stub: auth_pb2_grpc.AuthServiceAsyncStub


@contextlib.asynccontextmanager
async def serving_feed(log: RevocationLog, verifier: CredentialVerifier | None = None) -> AsyncIterator[Peer]:
    """Auth's RPCs for other services, over a real server on loopback."""
    use: Any = SimpleNamespace(
        revocations=log.for_peers, verify_token=VerifyToken(verifier) if verifier else None
    )
    mounted = Mounted("auth", {"antiphon.auth.v1.AuthService": AuthServicer(use)}, drain=log.drain)
    async with contextlib.AsyncExitStack() as stack:
        authenticator = await stack.enter_async_context(
            identity_wiring.build(
                (),
                issuer="antiphon",
                audience="antiphon",
                keys=_NoKeys(),
                secret=SECRET,
                api_keys=NoApiKeys(),
                revocations=NothingRevoked(),
            )
        )
        server = Server(ServerSettings(port=0, grace=10.0), Metrics(), Log("CRITICAL", pretty=False))
        stack.push_async_callback(server.close)
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.aio.insecure_channel(server.address, options=options)
        stack.push_async_callback(channel.close)
        await stack.enter_async_context(server.serving([mounted], authenticator))
        yield Peer(server.address, channel, auth_pb2_grpc.AuthServiceStub(channel))
