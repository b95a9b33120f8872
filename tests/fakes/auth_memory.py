"""Auth's stores in memory; they keep the promises of `services.auth.ports`, as the contract suite shows."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from services.auth.errors import EmailTaken, UsernameTaken
from services.auth.model import (
    Account,
    KeyState,
    NewAccount,
    NewSession,
    Refreshed,
    RefreshState,
    Role,
    SealedKey,
    Successor,
    User,
    Verdict,
    folded,
    judge,
)
from services.auth.ports import PasswordCheck
from services.capabilities.claims.model import Claim
from services.kernel.errors import AlreadyExists, NotFound


@dataclass
class Token:
    """A row of `sessions`."""

    family_id: str
    user_id: str
    expires_at: datetime
    rotated_at: datetime | None = None
    successor: Successor | None = None
    revoked: bool = False


@dataclass
class Memory:
    """What the tables hold, and a clock that a test can move."""

    accounts: dict[str, Account] = field(default_factory=dict)
    claims: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)
    tokens: dict[bytes, Token] = field(default_factory=dict)
    keys: list[SealedKey] = field(default_factory=list)
    not_shown: set[str] = field(default_factory=set)
    later: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.later

    def change(self, user_id: str, **changes: object) -> None:
        account = self.accounts[user_id]
        user = dataclasses.replace(account.user, **changes)  # type: ignore[arg-type]
        self.accounts[user_id] = Account(user, account.password_hash)


class MemoryAccounts:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def add(self, account: NewAccount, claim: Claim | None = None) -> User:
        if claim is not None:
            held = self._memory.claims.get((claim.caller, claim.request_id))
            if held is not None:
                if held[0] != claim.digest:
                    raise AlreadyExists("reused", reason="REQUEST_ID_REUSED")
                if held[1] not in self._memory.accounts:
                    raise NotFound.of("auth.user", held[1])
                return self._memory.accounts[held[1]].user
        others = [other.user for other in self._memory.accounts.values()]
        if any(folded(other.email) == folded(account.email) for other in others):
            raise EmailTaken
        if account.username and any(folded(other.username) == folded(account.username) for other in others):
            raise UsernameTaken
        now = self._memory.now()
        user = User(
            account.user_id,
            account.email,
            account.username,
            account.display_name,
            account.role,
            False,
            now,
            now,
        )
        self._memory.accounts[account.user_id] = Account(user, account.password_hash)
        if claim is not None:
            self._memory.claims[claim.caller, claim.request_id] = (claim.digest, account.user_id)
        return user

    async def with_email(self, email: str) -> Account | None:
        found = [a for a in self._memory.accounts.values() if folded(a.user.email) == folded(email)]
        return found[0] if found else None

    async def get(self, user_id: str) -> User | None:
        account = self._memory.accounts.get(user_id)
        return None if account is None else account.user


class MemorySessions:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def open(
        self, session: NewSession, verified_hash: str, new_hash: str | None = None
    ) -> Refreshed | None:
        account = self._memory.accounts.get(session.user_id)
        if account is None or account.password_hash != verified_hash:
            return None
        if account.user.disabled:
            return Refreshed(Verdict.DISABLED, session.session_id, account.user)
        if new_hash is not None:
            self._memory.accounts[session.user_id] = Account(account.user, new_hash)
        expires = self._memory.now() + session.lifetime
        self._memory.tokens[session.refresh_digest] = Token(session.session_id, session.user_id, expires)
        return Refreshed(Verdict.ROTATED, session.session_id, account.user, expire_time=expires)

    async def refresh(self, presented: bytes, successor: Successor, grace: timedelta) -> Refreshed | None:
        token = self._memory.tokens.get(presented)
        if token is None:
            return None
        user = self._memory.accounts[token.user_id].user
        now = self._memory.now()
        verdict = judge(
            RefreshState(token.expires_at, token.rotated_at, token.revoked, user.disabled), now, grace
        )
        if verdict is Verdict.ROTATED:
            token.rotated_at, token.successor = now, successor
            expires = now + successor.lifetime
            self._memory.tokens[successor.digest] = Token(token.family_id, token.user_id, expires)
            return Refreshed(verdict, token.family_id, user, successor.sealed, expires)
        if verdict is Verdict.REPLAYED:
            assert token.successor is not None
            expires = self._memory.tokens[token.successor.digest].expires_at
            return Refreshed(verdict, token.family_id, user, token.successor.sealed, expires)
        if verdict is Verdict.REUSED:
            self._revoke(token.family_id)
        return Refreshed(verdict, token.family_id, user)

    async def revoke(self, presented: bytes) -> None:
        token = self._memory.tokens.get(presented)
        if token is not None:
            self._revoke(token.family_id)

    def _revoke(self, family_id: str) -> None:
        for token in self._memory.tokens.values():
            if token.family_id == family_id:
                token.revoked = True


class MemorySetup:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._busy = False

    async def needs_administrator(self) -> bool:
        return not any(self._settled(account) for account in self._administrators())

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[bool]:
        first, self._busy = not self._busy, True
        try:
            yield first
        finally:
            if first:
                self._busy = False

    async def put_administrator(self, account: NewAccount) -> str | None:
        if not await self.needs_administrator():
            return None
        for earlier in self._administrators():
            user_id = earlier.user.user_id
            for other in self._memory.accounts.values():
                if other.user.user_id != user_id and folded(other.user.email) == folded(account.email):
                    raise EmailTaken
            user = dataclasses.replace(earlier.user, email=account.email)
            self._memory.accounts[user_id] = Account(user, account.password_hash)
            return user_id
        await MemoryAccounts(self._memory).add(account)
        self._memory.not_shown.add(account.user_id)
        return account.user_id

    async def password_was_shown(self, user_id: str) -> None:
        self._memory.not_shown.discard(user_id)

    def _administrators(self) -> list[Account]:
        return [account for account in self._memory.accounts.values() if account.user.role is Role.ADMIN]

    def _settled(self, account: Account) -> bool:
        user_id = account.user.user_id
        logged_in = any(token.user_id == user_id for token in self._memory.tokens.values())
        return user_id not in self._memory.not_shown or logged_in


class MemorySigningKeys:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def all(self) -> Sequence[SealedKey]:
        return sorted(self._memory.keys, key=lambda key: key.state.value)

    async def add_first(self, active: SealedKey, following: SealedKey) -> None:
        if not any(key.state is KeyState.ACTIVE for key in self._memory.keys):
            self._memory.keys += [active, following]


class PlainPasswords:
    """Passwords that cost nothing; counts what was checked."""

    def __init__(self) -> None:
        self.checks: list[str | None] = []

    async def hash(self, password: str) -> str:
        return f"plain:{password}"

    async def check(self, password_hash: str | None, password: str) -> PasswordCheck:
        self.checks.append(password_hash)
        if password_hash == f"old:{password}":
            return PasswordCheck(correct=True, outdated=True)
        return PasswordCheck(correct=password_hash == f"plain:{password}")
