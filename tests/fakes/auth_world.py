"""Auth's use cases over stores in memory."""

from __future__ import annotations

from datetime import timedelta

from services.auth.model.accounts import Role, User
from services.auth.model.audit import Origin
from services.auth.model.sessions import AccessToken, TokenPair
from services.auth.providers.password_rules import CommonPasswords
from services.auth.providers.refresh_tokens import OpaqueRefreshTokens
from services.auth.usecases.first_administrator import EnsureAdministrator
from services.auth.usecases.get_profile import GetProfile
from services.auth.usecases.login import Login
from services.auth.usecases.logout import Logout
from services.auth.usecases.refresh_token import RefreshToken
from services.auth.usecases.register import Register, Registration
from services.auth.usecases.reset_password import ResetPassword
from tests.fakes.auth_memory import (
    Memory,
    MemoryAccounts,
    MemoryAuditTrail,
    PlainPasswords,
)
from tests.fakes.auth_memory_attempts import MemoryLoginAttempts
from tests.fakes.auth_memory_sessions import MemorySessions
from tests.fakes.auth_memory_setup import MemorySetup

MONTH = timedelta(days=30)
GRACE = timedelta(seconds=30)
SOMEWHERE = Origin("", "192.0.2.1")
ANA = Registration("ana@example.com", "correct horse", username="ana", display_name="Ana")


class NamedAccessTokens:
    """Access tokens that say whose they are."""

    async def sign(self, user_id: str, session_id: str, role: Role, revision: int) -> AccessToken:
        return AccessToken(f"{user_id}/{session_id}/{role.value}", Memory().now() + timedelta(minutes=15))


class World:
    """Auth's use cases over one memory."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.memory = Memory()
        self.passwords = PlainPasswords()
        accounts, sessions = MemoryAccounts(self.memory), MemorySessions(self.memory)
        refresh_tokens, access_tokens = OpaqueRefreshTokens(), NamedAccessTokens()
        attempts, rules = MemoryLoginAttempts(self.memory, 5), CommonPasswords()
        self.attempts = attempts
        self._register = Register(accounts, self.passwords, rules, claim_key=b"k" * 32, is_open=is_open)
        self._login = Login(
            accounts,
            sessions,
            self.passwords,
            refresh_tokens,
            access_tokens,
            attempts,
            MemoryAuditTrail(self.memory),
            lifetime=MONTH,
        )
        self._refresh = RefreshToken(sessions, refresh_tokens, access_tokens, lifetime=MONTH, grace=GRACE)
        self._logout = Logout(sessions, refresh_tokens)
        self.profile = GetProfile(accounts)
        self.setup = MemorySetup(self.memory)
        self.ensure_administrator = EnsureAdministrator(self.setup, self.passwords)
        self.reset_password = ResetPassword(accounts, sessions, self.passwords, rules, attempts)

    async def register(self, registration: Registration) -> User:
        return await self._register(registration, SOMEWHERE)

    async def login(self, email: str, password: str, device_name: str = "") -> tuple[TokenPair, User]:
        return await self._login(email, password, device_name, SOMEWHERE)

    async def refresh(self, token: str) -> TokenPair:
        return await self._refresh(token, SOMEWHERE)

    async def logout(self, token: str) -> None:
        await self._logout(token, SOMEWHERE)
