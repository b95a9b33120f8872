"""Puts Auth together from the settings, the database and the deployment's secret."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from antiphon.auth.v1 import api_key_pb2_grpc

from services.auth.model import FirstAdministrator
from services.auth.ports import KeyRing
from services.auth.providers import keys
from services.auth.providers.access_tokens import SignedAccessTokens
from services.auth.providers.key_rings import FileKeyRing, StoredKeyRing
from services.auth.providers.passwords import Argon2Passwords
from services.auth.providers.refresh_tokens import OpaqueRefreshTokens
from services.auth.servicer import AuthServicer, UseCases
from services.auth.stores.accounts import SqlAccounts
from services.auth.stores.sessions import SqlSessions
from services.auth.stores.setup import SqlSetup
from services.auth.stores.signing_keys import SqlSigningKeys
from services.auth.stores.tables import SCHEMA
from services.auth.usecases.first_administrator import EnsureAdministrator
from services.auth.usecases.get_jwks import GetJwks
from services.auth.usecases.get_profile import GetProfile
from services.auth.usecases.login import Login
from services.auth.usecases.logout import Logout
from services.auth.usecases.refresh_token import RefreshToken
from services.auth.usecases.register import Register
from services.capabilities.claims.sql import SqlClaims
from services.capabilities.identity.providers.keys import CachedKeys, FetchKeys, Jwk
from services.infra.postgres.checks import DatabaseCheck
from services.infra.postgres.database import Database
from services.kernel.secret import DeploymentSecret
from services.kernel.startup import StartupError
from services.runtime.mounted import Mounted
from services.settings import AuthSettings

_log = logging.getLogger(__name__)

_CLAIMS_KEPT = timedelta(days=7)
_PRUNE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Auth:
    """Auth, ready to be served. `keys` are those that its access tokens are checked with in this process."""

    mounted: Mounted
    keys: CachedKeys
    _ensure_administrator: EnsureAdministrator

    def first_administrator(self, email: str) -> AbstractAsyncContextManager[FirstAdministrator | None]:
        """Make the first administrator if there is none; see `EnsureAdministrator`. Show the password inside the block."""
        return self._ensure_administrator(email)


@asynccontextmanager
async def build(settings: AuthSettings, database: Database, secret: DeploymentSecret) -> AsyncIterator[Auth]:
    """Auth on an open database that has its schema. The first start makes the signing keys.

    Raises StartupError for key files that can't be used, and for a secret that the stored keys were not sealed with.
    """
    async with AsyncExitStack() as stack:
        ring = await _key_ring(settings, database, secret)
        passwords = Argon2Passwords(workers=settings.password_workers, queue=settings.password_queue)
        stack.callback(passwords.close)
        sessions = SqlSessions(database)
        cached = CachedKeys(_fetch(ring), name="this process")
        stack.push_async_callback(cached.aclose)
        pruning = asyncio.create_task(_prune(database, sessions), name="auth pruning")
        stack.push_async_callback(_cancel, pruning)
        mounted = Mounted(
            name="auth",
            servicers={
                "antiphon.auth.v1.AuthService": AuthServicer(
                    _usecases(settings, secret, ring, passwords, SqlAccounts(database), sessions)
                ),
                "antiphon.auth.v1.ApiKeyService": api_key_pb2_grpc.ApiKeyServiceServicer(),
            },
            checks=(DatabaseCheck(database), ring),
        )
        yield Auth(mounted, cached, EnsureAdministrator(SqlSetup(database), passwords))


async def _key_ring(settings: AuthSettings, database: Database, secret: DeploymentSecret) -> KeyRing:
    if settings.private_key_path is None:
        if settings.public_key_path is not None:
            raise StartupError(
                "JWT_PUBLIC_KEY_PATH is set without JWT_PRIVATE_KEY_PATH.",
                "Set both, or neither: Auth then makes its keys and keeps them in the database.",
            )
        stored = StoredKeyRing(SqlSigningKeys(database), secret.derive("auth.signing-keys"))
        await stored.start()
        return stored
    passphrase = settings.private_key_passphrase
    private = await asyncio.to_thread(
        keys.read_private_file,
        settings.private_key_path,
        None if passphrase is None else passphrase.get_secret_value(),
    )
    if settings.public_key_path is not None:
        keys.check_public_file(settings.public_key_path, private)
    return FileKeyRing(private)


def _usecases(
    settings: AuthSettings,
    secret: DeploymentSecret,
    ring: KeyRing,
    passwords: Argon2Passwords,
    accounts: SqlAccounts,
    sessions: SqlSessions,
) -> UseCases:
    refresh_tokens = OpaqueRefreshTokens()
    access_tokens = SignedAccessTokens(
        ring,
        issuer=settings.issuer,
        audience=settings.audience,
        lifetime=timedelta(seconds=settings.access_token_ttl),
    )
    lifetime = timedelta(seconds=settings.refresh_token_ttl)
    return UseCases(
        register=Register(
            accounts,
            passwords,
            claim_key=secret.derive("auth.register.claims"),
            is_open=settings.registration,
        ),
        login=Login(accounts, sessions, passwords, refresh_tokens, access_tokens, lifetime=lifetime),
        refresh_token=RefreshToken(
            sessions,
            refresh_tokens,
            access_tokens,
            lifetime=lifetime,
            grace=timedelta(seconds=settings.refresh_grace),
        ),
        logout=Logout(sessions, refresh_tokens),
        get_profile=GetProfile(accounts),
        get_jwks=GetJwks(ring),
    )


def _fetch(ring: KeyRing) -> FetchKeys:
    async def fetch() -> Sequence[Jwk]:
        return [key.as_jwk() for key in await ring.published()]

    return fetch


async def _prune(database: Database, sessions: SqlSessions) -> None:
    """Forget, once an hour or so, what nobody can ask for any more. Replicas that do it at once pass one another over."""
    claims = SqlClaims(SCHEMA)
    while True:
        await asyncio.sleep(_PRUNE_SECONDS * random.uniform(0.75, 1.25))  # noqa: S311 - it only spreads the work.
        try:
            while await sessions.prune():
                pass
            async with database.connection() as connection:
                while await claims.prune(connection, _CLAIMS_KEPT):
                    pass
        except Exception:
            # Nobody waits for this, and the next round may fare better.
            _log.warning("Old login sessions and claims could not be pruned now", exc_info=True)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
