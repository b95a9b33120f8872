"""Auth's stores in memory; they keep the promises of `services.auth.ports`, as the contract suite shows."""

from __future__ import annotations

import dataclasses
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from services.auth.errors import EmailTaken, LastAdministrator, StandingLost, UsernameTaken
from services.auth.model.accounts import Account, AccountChanges, NewAccount, Role, User, folded
from services.auth.model.audit import AuditEvent, Deed
from services.auth.model.sessions import Successor
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

    def record(self, deed: Deed) -> None:
        """A line of the trail, before what it is about is done. Raises StandingLost."""
        standing = deed.origin.standing
        if standing is not None:
            actor = self.accounts.get(deed.origin.actor_id)
            ended = {token.family_id for token in self.tokens.values() if token.revoked}
            if (
                actor is None
                or actor.user.disabled
                or (standing.administers and actor.user.role is not Role.ADMIN)
                or standing.session_id in ended
            ):
                raise StandingLost
        self.deeds.append(deed)

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
        self._memory.record(deed)
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
        changes = changes.of(user)
        if changes.nothing:
            return user
        mistrusted = changes.role is not None or changes.disabled is not None
        if mistrusted:
            self._keep_an_administrator(user)
        if changes.username is not None:
            self._check_username(changes.username, user_id)
        wished = {name: getattr(changes, name) for name in ("username", "display_name", "role", "disabled")}
        values = {name: value for name, value in wished.items() if value is not None}
        changed = dataclasses.replace(user, **values, update_time=self._memory.now())
        self._memory.record(dataclasses.replace(deed, attributes=changes.told))
        self._memory.accounts[user_id] = Account(changed, account.password_hash)
        if changes.disabled:
            for token in self._memory.tokens.values():
                token.revoked |= token.user_id == user_id
        if mistrusted:
            self._memory.revoke(RevocationKind.USER, user_id)
        return changed

    async def delete(self, user_id: str, deed: Deed) -> bool:
        account = self._memory.accounts.get(user_id)
        if account is None:
            return False
        self._keep_an_administrator(account.user)
        self._memory.record(deed)
        del self._memory.accounts[user_id]
        tokens = self._memory.tokens.items()
        self._memory.tokens = {digest: token for digest, token in tokens if token.user_id != user_id}
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
        self._memory.record(deed)

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
