"""Auth's stores in memory; they keep the promises of `services.auth.ports`, as the contract suite shows."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from services.auth.errors import EmailTaken, LastAdministrator, UsernameTaken
from services.auth.model.accounts import Account, AccountChanges, NewAccount, Role, User, folded
from services.auth.model.audit import AuditEvent, Deed, Origin
from services.auth.model.sessions import (
    LoginSession,
    NewSession,
    Refreshed,
    RefreshState,
    Successor,
    Verdict,
    judge,
)
from services.auth.ports.accounts import PasswordCheck
from services.capabilities.claims.model import Claim
from services.capabilities.identity.revocations import RevocationKind
from services.kernel.errors import AlreadyExists, NotFound
from services.kernel.paging import Page, PageRequest


@dataclass
class Token:
    """A row of `sessions`."""

    family_id: str
    user_id: str
    expires_at: datetime
    rotated_at: datetime | None = None
    successor: Successor | None = None
    revoked: bool = False
    device_name: str = ""
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass
class Memory:
    """What the tables hold, and a clock that a test can move."""

    accounts: dict[str, Account] = field(default_factory=dict)
    claims: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)
    tokens: dict[bytes, Token] = field(default_factory=dict)
    not_shown: set[str] = field(default_factory=set)
    deeds: list[Deed] = field(default_factory=list)
    revoked: list[tuple[RevocationKind, str]] = field(default_factory=list)
    revisions: dict[str, int] = field(default_factory=dict)
    later: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.later

    def revoke(self, kind: RevocationKind, subject_id: str) -> None:
        self.revoked.append((kind, subject_id))
        if kind is RevocationKind.USER:
            self.revisions[subject_id] = len(self.revoked)

    def change(self, user_id: str, **changes: object) -> None:
        account = self.accounts[user_id]
        user = dataclasses.replace(account.user, **changes)  # type: ignore[arg-type]
        self.accounts[user_id] = Account(user, account.password_hash)


class MemoryAccounts:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def add(self, account: NewAccount, deed: Deed, claim: Claim | None = None) -> User:
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
        self._check_username(account.username)
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
        self._memory.deeds.append(deed)
        return user

    async def with_email(self, email: str) -> Account | None:
        found = [a for a in self._memory.accounts.values() if folded(a.user.email) == folded(email)]
        return found[0] if found else None

    async def get(self, user_id: str) -> User | None:
        account = self._memory.accounts.get(user_id)
        return None if account is None else account.user

    async def with_id(self, user_id: str) -> Account | None:
        return self._memory.accounts.get(user_id)

    async def list(self, query: str, role: Role | None, page: PageRequest) -> Page[User]:
        def wanted(user: User) -> bool:
            texts = (user.email, user.username, user.display_name)
            return role in (None, user.role) and any(folded(query) in folded(text) for text in texts)

        found = [account.user for account in self._memory.accounts.values() if wanted(account.user)]
        found.sort(key=lambda user: user.user_id, reverse=True)
        rest = [user for user in found if page.after is None or user.user_id < page.after][page.skip :]
        items = rest[: page.size]
        return Page(items, items[-1].user_id if len(rest) > page.size else None, len(found))

    async def update(self, user_id: str, changes: AccountChanges, deed: Deed) -> User | None:
        account = self._memory.accounts.get(user_id)
        if account is None:
            return None
        user = account.user
        if changes.username is not None:
            self._check_username(changes.username, user_id)
        wished = {name: getattr(changes, name) for name in ("username", "display_name", "role", "disabled")}
        changed = dataclasses.replace(
            user, **{name: value for name, value in wished.items() if value is not None}
        )
        if not changed.administers:
            self._keep_an_administrator(user)
        if changed != user:
            changed = dataclasses.replace(changed, update_time=self._memory.now())
        self._memory.accounts[user_id] = Account(changed, account.password_hash)
        self._memory.deeds.append(deed)
        if (changed.role, changed.disabled) != (user.role, user.disabled):
            self._memory.revoke(RevocationKind.USER, user_id)
        return changed

    async def delete(self, user_id: str, deed: Deed) -> bool:
        account = self._memory.accounts.get(user_id)
        if account is None:
            return False
        self._keep_an_administrator(account.user)
        del self._memory.accounts[user_id]
        tokens = self._memory.tokens.items()
        self._memory.tokens = {digest: token for digest, token in tokens if token.user_id != user_id}
        self._memory.deeds.append(deed)
        self._memory.revoke(RevocationKind.USER_DELETED, user_id)
        return True

    def _check_username(self, username: str, user_id: str = "") -> None:
        others = [other.user for other in self._memory.accounts.values() if other.user.user_id != user_id]
        if username and any(folded(other.username) == folded(username) for other in others):
            raise UsernameTaken

    def _keep_an_administrator(self, user: User) -> None:
        able = [other.user for other in self._memory.accounts.values() if other.user.administers]
        if able == [user]:
            raise LastAdministrator


class MemoryAuditTrail:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def record(self, deed: Deed) -> None:
        self._memory.deeds.append(deed)

    async def events(self, user_id: str, page: PageRequest) -> Page[AuditEvent]:
        found = [
            AuditEvent(
                str(uuid.UUID(int=number)),
                deed.action,
                deed.origin.actor_id,
                deed.user_id,
                deed.origin.address,
                self._memory.now(),
                {**deed.origin.via, **deed.attributes},
            )
            for number, deed in enumerate(self._memory.deeds)
            if user_id in ("", deed.user_id, deed.origin.actor_id)
        ]
        rest = [line for line in reversed(found) if page.after is None or line.audit_event_id < page.after]
        rest = rest[page.skip :]
        items = rest[: page.size]
        return Page(items, items[-1].audit_event_id if len(rest) > page.size else None)


class MemorySessions:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def open(
        self, session: NewSession, verified_hash: str, deed: Deed, new_hash: str | None = None
    ) -> Refreshed | None:
        account = self._memory.accounts.get(session.user_id)
        if account is None or account.password_hash != verified_hash:
            return None
        if account.user.disabled:
            return Refreshed(Verdict.DISABLED, session.session_id, account.user)
        if new_hash is not None:
            self._memory.accounts[session.user_id] = Account(account.user, new_hash)
        now = self._memory.now()
        expires = now + session.lifetime
        self._memory.tokens[session.refresh_digest] = Token(
            session.session_id,
            session.user_id,
            expires,
            device_name=session.device_name,
            started_at=now,
            created_at=now,
        )
        self._memory.deeds.append(deed)
        return Refreshed(
            Verdict.ROTATED,
            session.session_id,
            account.user,
            expire_time=expires,
            revision=self._memory.revisions.get(session.user_id, 0),
        )

    async def refresh(
        self, presented: bytes, successor: Successor, grace: timedelta, origin: Origin
    ) -> Refreshed | None:
        token = self._memory.tokens.get(presented)
        if token is None:
            return None
        user = self._memory.accounts[token.user_id].user
        revision = self._memory.revisions.get(user.user_id, 0)
        now = self._memory.now()
        verdict = judge(
            RefreshState(token.expires_at, token.rotated_at, token.revoked, user.disabled), now, grace
        )
        if verdict is Verdict.ROTATED:
            token.rotated_at, token.successor = now, successor
            expires = now + successor.lifetime
            self._memory.tokens[successor.digest] = dataclasses.replace(
                token, expires_at=expires, created_at=now, rotated_at=None, successor=None
            )
            return Refreshed(verdict, token.family_id, user, successor.sealed, expires, revision)
        if verdict is Verdict.REPLAYED:
            assert token.successor is not None
            expires = self._memory.tokens[token.successor.digest].expires_at
            return Refreshed(verdict, token.family_id, user, token.successor.sealed, expires, revision)
        if verdict is Verdict.REUSED:
            self._revoke(token, Deed("session.reuse", token.user_id, origin))
        return Refreshed(verdict, token.family_id, user)

    async def revoke(self, presented: bytes, origin: Origin) -> None:
        token = self._memory.tokens.get(presented)
        if token is not None and not token.revoked:
            owner = dataclasses.replace(origin, actor_id=token.user_id)
            self._revoke(token, Deed("user.logout", token.user_id, owner))

    async def list(self, user_id: str, page: PageRequest) -> Page[LoginSession]:
        found = [
            LoginSession(
                token.family_id, token.device_name, token.started_at, token.created_at, token.expires_at
            )
            for token in self._living(user_id)
            if token.rotated_at is None and token.expires_at > self._memory.now()
        ]
        found.sort(key=lambda session: session.session_id, reverse=True)
        following = [one for one in found if page.after is None or one.session_id < page.after][page.skip :]
        items = following[: page.size]
        return Page(items, items[-1].session_id if len(following) > page.size else None)

    async def end(self, user_id: str, session_id: str, deed: Deed) -> bool:
        for token in self._memory.tokens.values():
            if (token.user_id, token.family_id) == (user_id, session_id):
                if not token.revoked:
                    self._revoke(token, deed)
                return True
        return False

    async def change_password(
        self, user_id: str, verified_hash: str | None, new_hash: str, kept_session_id: str, deed: Deed
    ) -> bool:
        account = self._memory.accounts.get(user_id)
        if account is None or verified_hash not in (None, account.password_hash):
            return False
        self._memory.accounts[user_id] = Account(account.user, new_hash)
        self._memory.not_shown.discard(user_id)
        ended = [token for token in self._living(user_id) if token.family_id != kept_session_id]
        for family_id in sorted({token.family_id for token in ended}):
            self._memory.revoke(RevocationKind.SESSION, family_id)
        for token in ended:
            token.revoked = True
        self._memory.deeds.append(deed)
        return True

    def _living(self, user_id: str) -> Sequence[Token]:
        return [t for t in self._memory.tokens.values() if t.user_id == user_id and not t.revoked]

    def _revoke(self, revoked: Token, deed: Deed) -> None:
        family_id = revoked.family_id
        self._memory.deeds.append(dataclasses.replace(deed, attributes={"session_id": family_id}))
        self._memory.revoke(RevocationKind.SESSION, family_id)
        for token in self._memory.tokens.values():
            if token.family_id == family_id:
                token.revoked = True


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
