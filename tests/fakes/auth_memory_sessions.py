"""Login sessions in memory; they keep the promises of `services.auth.ports.sessions.Sessions`, as the contract suite shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import timedelta

from services.auth.model.accounts import Account
from services.auth.model.audit import Deed, Origin
from services.auth.model.sessions import (
    MOST_REPLAYED,
    LoginSession,
    NewSession,
    Refreshed,
    RefreshState,
    Successor,
    Verdict,
    judge,
)
from services.capabilities.identity.revocations import RevocationKind
from services.kernel.paging import Page, PageRequest
from tests.fakes.auth_memory import Memory, Token


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
        self._memory.record(deed)
        if new_hash is not None:
            self._memory.accounts[session.user_id] = Account(account.user, new_hash)
        self._memory.not_shown.discard(session.user_id)
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
            for old in self._memory.tokens.values():
                if old.family_id == token.family_id and old.rotated_at and old.rotated_at < now - grace:
                    old.successor = None
            token.rotated_at, token.successor = now, successor
            expires = now + successor.lifetime
            self._memory.tokens[successor.digest] = dataclasses.replace(
                token, expires_at=expires, created_at=now, rotated_at=None, successor=None
            )
            return Refreshed(verdict, token.family_id, user, (successor.sealed,), expires, revision)
        if verdict is Verdict.REPLAYED:
            sealed: list[bytes] = []
            living = token
            while living.successor is not None and len(sealed) < MOST_REPLAYED:
                sealed.append(living.successor.sealed)
                living = self._memory.tokens[living.successor.digest]
            if living.rotated_at is None:
                return Refreshed(verdict, token.family_id, user, tuple(sealed), living.expires_at, revision)
            verdict = Verdict.REUSED
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
        self._memory.record(deed)
        self._memory.accounts[user_id] = Account(account.user, new_hash)
        self._memory.not_shown.discard(user_id)
        ended = [token for token in self._living(user_id) if token.family_id != kept_session_id]
        for family_id in sorted({token.family_id for token in ended}):
            self._memory.revoke(RevocationKind.SESSION, family_id)
        for token in ended:
            token.revoked = True
        return True

    def _living(self, user_id: str) -> Sequence[Token]:
        return [t for t in self._memory.tokens.values() if t.user_id == user_id and not t.revoked]

    def _revoke(self, revoked: Token, deed: Deed) -> None:
        family_id = revoked.family_id
        self._memory.record(dataclasses.replace(deed, attributes={"session_id": family_id}))
        self._memory.revoke(RevocationKind.SESSION, family_id)
        for token in self._memory.tokens.values():
            if token.family_id == family_id:
                token.revoked = True
