"""Puts Auth together from the settings, the database and the deployment's secret."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from services.auth.api_key_servicer import ApiKeyServicer, KeyUseCases
from services.auth.model.accounts import FirstAdministrator
from services.auth.ports.signing_keys import KeyRing
from services.auth.providers import keys
from services.auth.providers.access_tokens import SignedAccessTokens
from services.auth.providers.api_keys import OpaqueApiKeys, OwnApiKeys
from services.auth.providers.key_rings import FileKeyRing, StoredKeyRing
from services.auth.providers.password_rules import AnyPassword, CommonPasswords
from services.auth.providers.passwords import Argon2Passwords
from services.auth.providers.refresh_tokens import OpaqueRefreshTokens
from services.auth.providers.revocation_log import RevocationLog
from services.auth.pruning import pruned
from services.auth.servicer import AuthServicer, UseCases
from services.auth.stores.accounts import SqlAccounts
from services.auth.stores.api_keys import SqlApiKeys
from services.auth.stores.audit import SqlAuditTrail
from services.auth.stores.login_attempts import SqlLoginAttempts
from services.auth.stores.revocations import SqlRevocations
from services.auth.stores.sessions import SqlSessions
from services.auth.stores.setup import SqlSetup
from services.auth.stores.signing_keys import SqlSigningKeys
from services.auth.stores.tables import SCHEMA
from services.auth.stores.token_lives import TokenLives
from services.auth.usecases.accounts import (
    CreateUser,
    DeleteUser,
    GetUser,
    ListUsers,
    UpdateProfile,
    UpdateUser,
)
from services.auth.usecases.api_keys import (
    CreateApiKey,
    GetApiKey,
    ListApiKeys,
    RevokeApiKey,
    RotateApiKey,
    Scopes,
)
from services.auth.usecases.audit import ListAuditEvents
from services.auth.usecases.change_password import ChangePassword
from services.auth.usecases.first_administrator import EnsureAdministrator
from services.auth.usecases.get_jwks import GetJwks
from services.auth.usecases.get_profile import GetProfile
from services.auth.usecases.login import Login
from services.auth.usecases.login_sessions import ListSessions, RevokeSession
from services.auth.usecases.logout import Logout
from services.auth.usecases.refresh_token import RefreshToken
from services.auth.usecases.register import Register
from services.auth.usecases.verify_token import VerifyToken
from services.capabilities.claims.sql import SqlClaims
from services.capabilities.identity.ports import ApiKeyVerifier, CredentialVerifier, RevocationSource
from services.capabilities.identity.providers.keys import CachedKeys, FetchKeys, Jwk
from services.capabilities.limits.wiring import build as limits_of
from services.infra.postgres.checks import DatabaseCheck
from services.infra.postgres.database import Database
from services.kernel.limits import RateLimits
from services.kernel.paging import PageTokens
from services.kernel.secret import DeploymentSecret
from services.kernel.startup import StartupError
from services.runtime.metrics import Metrics
from services.runtime.mounted import Mounted
from services.runtime.policy import scopes_of_contract
from services.settings import AuthSettings, Settings

_CLAIMS_KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Auth:
    """Auth, ready to be served once it is told who verifies credentials: that needs, in turn, its keys, API keys and revocations."""

    keys: CachedKeys
    api_keys: ApiKeyVerifier
    revocations: RevocationSource
    _log: RevocationLog
    _parts: _Parts
    _limits: RateLimits

    def mounted(self, verifier: CredentialVerifier) -> Mounted:
        """What the runtime serves."""
        parts = self._parts
        return Mounted(
            name="auth",
            servicers={
                "antiphon.auth.v1.AuthService": AuthServicer(parts.use_cases(verifier, self._log.for_peers)),
                "antiphon.auth.v1.ApiKeyService": ApiKeyServicer(parts.key_use_cases()),
            },
            checks=(DatabaseCheck(parts.database), parts.ring),
            # The feeds of other processes would hold a stop up for its whole grace period.
            drain=self._log.drain,
            limits=self._limits,
        )

    def first_administrator(self, email: str) -> AbstractAsyncContextManager[FirstAdministrator | None]:
        """Make the first administrator if there is none; see `EnsureAdministrator`. Show the password inside the block."""
        return EnsureAdministrator(SqlSetup(self._parts.database), self._parts.passwords)(email)


@asynccontextmanager
async def build(
    settings: Settings,
    database: Database,
    secret: DeploymentSecret,
    *,
    sole_owner: bool,
    metrics: Metrics | None = None,
) -> AsyncIterator[Auth]:
    """Auth on an open database that has its schema. The first start makes the signing keys.

    `sole_owner` says that no other process can be at work on this database.

    Raises StartupError for key files that can't be used, and for a secret that the stored keys were not sealed with.
    """
    async with AsyncExitStack() as stack:
        auth = settings.auth
        ring = await _key_ring(auth, database, secret)
        passwords = Argon2Passwords(workers=auth.password_workers, queue=auth.password_queue)
        stack.callback(passwords.close)
        cached = CachedKeys(_fetch(ring), source="the database", allowance=settings.identity.offline_grace)
        stack.push_async_callback(cached.aclose)
        parts = _Parts(auth, database, secret, ring, passwords)
        await parts.token_lives.note()
        log = RevocationLog(parts.revocations)
        parts.revocations.call_when_added(log.wake)
        await log.start()
        stack.push_async_callback(log.aclose)
        await stack.enter_async_context(
            pruned(
                parts.token_lives.note,
                parts.sessions.prune,
                parts.api_keys.prune,
                parts.attempts.prune,
                parts.revocations.prune,
                parts.prune_claims,
                parts.prune_signing_keys,
            )
        )
        limits = await stack.enter_async_context(
            limits_of(
                settings.limits,
                database,
                SCHEMA,
                key=secret.derive("auth.limits"),
                sole_owner=sole_owner,
                metrics=metrics,
            )
        )
        yield Auth(cached, OwnApiKeys(parts.api_keys, parts.key_maker), log, log, parts, limits)


class _Parts:
    """What several use cases are made of."""

    def __init__(
        self,
        settings: AuthSettings,
        database: Database,
        secret: DeploymentSecret,
        ring: KeyRing,
        passwords: Argon2Passwords,
    ) -> None:
        self.settings = settings
        self.database = database
        self.secret = secret
        self.ring = ring
        self.passwords = passwords
        self.rules = CommonPasswords() if settings.refuse_common_passwords else AnyPassword()
        self.revocations = SqlRevocations(database, timedelta(seconds=settings.access_token_ttl))
        self.token_lives = TokenLives(database, timedelta(seconds=settings.access_token_ttl))
        self.accounts = SqlAccounts(database, self.revocations)
        self.sessions = SqlSessions(database, self.revocations)
        self.api_keys = SqlApiKeys(database, self.revocations)
        self.key_maker = OpaqueApiKeys()
        self.trail = SqlAuditTrail(database)
        self.attempts = SqlLoginAttempts(
            database, secret.derive("auth.login-attempts"), settings.login_failures, settings.login_delay
        )
        self.pages = PageTokens(secret.derive("auth.pages"))
        self._claims = SqlClaims(SCHEMA)

    def use_cases(self, verifier: CredentialVerifier, feed: RevocationSource) -> UseCases:
        """What AuthService can do."""
        refresh_tokens = OpaqueRefreshTokens()
        access_tokens = SignedAccessTokens(
            self.ring,
            issuer=self.settings.issuer,
            audience=self.settings.audience,
            lifetime=timedelta(seconds=self.settings.access_token_ttl),
        )
        lifetime = timedelta(seconds=self.settings.refresh_token_ttl)
        grace = timedelta(seconds=self.settings.refresh_grace)
        claim_key = self.secret.derive("auth.register.claims")
        return UseCases(
            register=Register(
                self.accounts,
                self.passwords,
                self.rules,
                claim_key=claim_key,
                is_open=self.settings.registration,
            ),
            login=Login(
                self.accounts,
                self.sessions,
                self.passwords,
                refresh_tokens,
                access_tokens,
                self.attempts,
                self.trail,
                lifetime=lifetime,
            ),
            refresh_token=RefreshToken(
                self.sessions, refresh_tokens, access_tokens, lifetime=lifetime, grace=grace
            ),
            logout=Logout(self.sessions, refresh_tokens),
            get_profile=GetProfile(self.accounts),
            update_profile=UpdateProfile(self.accounts),
            change_password=ChangePassword(
                self.accounts, self.sessions, self.passwords, self.rules, self.attempts, self.trail
            ),
            list_sessions=ListSessions(self.sessions, self.pages),
            revoke_session=RevokeSession(self.sessions),
            get_jwks=GetJwks(self.ring),
            verify_token=VerifyToken(verifier),
            revocations=feed,
            list_users=ListUsers(self.accounts, self.pages),
            get_user=GetUser(self.accounts),
            create_user=CreateUser(self.accounts, self.passwords, self.rules, claim_key),
            update_user=UpdateUser(self.accounts),
            delete_user=DeleteUser(self.accounts),
            list_audit_events=ListAuditEvents(self.trail, self.pages),
        )

    def key_use_cases(self) -> KeyUseCases:
        """What ApiKeyService can do."""
        scopes = Scopes(*scopes_of_contract())
        claim_key = self.secret.derive("auth.keys.claims")
        return KeyUseCases(
            create=CreateApiKey(self.api_keys, self.key_maker, scopes, claim_key),
            list=ListApiKeys(self.api_keys, self.pages),
            get=GetApiKey(self.api_keys),
            rotate=RotateApiKey(self.api_keys, self.key_maker, scopes, claim_key),
            revoke=RevokeApiKey(self.api_keys),
        )

    async def prune_signing_keys(self) -> int:
        """Forget keys that no access token was signed with that could still live."""
        return await SqlSigningKeys(self.database).prune(timedelta(seconds=self.settings.access_token_ttl))

    async def prune_claims(self) -> int:
        """Forget some old claims."""
        async with self.database.connection() as connection:
            return await self._claims.prune(connection, _CLAIMS_KEPT)


async def _key_ring(settings: AuthSettings, database: Database, secret: DeploymentSecret) -> KeyRing:
    if settings.private_key_path is None:
        if settings.public_key_path is not None:
            raise StartupError(
                "JWT_PUBLIC_KEY_PATH is set without JWT_PRIVATE_KEY_PATH.",
                "Set both, or neither: Auth then makes its keys and keeps them in the database.",
            )
        stored = StoredKeyRing(SqlSigningKeys(database), secret.derive(keys.SEALING_PURPOSE))
        await stored.start()
        return stored
    passphrase = settings.private_key_passphrase
    private = await asyncio.to_thread(
        keys.read_private_file,
        settings.private_key_path,
        None if passphrase is None else passphrase.get_secret_value(),
    )
    if settings.public_key_path is None:
        return FileKeyRing(private)
    return FileKeyRing(private, keys.read_public_file(settings.public_key_path, private))


def _fetch(ring: KeyRing) -> FetchKeys:
    async def fetch() -> Sequence[Jwk]:
        return [key.as_jwk() for key in await ring.published()]

    return fetch
