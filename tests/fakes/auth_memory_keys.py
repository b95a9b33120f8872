"""API keys in memory; they keep the promises of `services.auth.ports.api_keys`, as the contract suite shows."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.auth.errors import ApiKeyEnded, TooManyApiKeys
from services.auth.model.api_keys import (
    ENDED_KEYS_KEPT,
    MOST_KEYS,
    ApiKey,
    KeyOwner,
    NewApiKey,
    Rotated,
)
from services.auth.model.audit import Deed
from services.capabilities.claims.model import Claim
from services.capabilities.identity.revocations import RevocationKind
from services.kernel.errors import AlreadyExists, NotFound
from services.kernel.ids import new_id
from services.kernel.paging import Page, PageRequest
from tests.fakes.auth_memory import Memory

MINUTE = timedelta(minutes=1)


@dataclass
class Row:
    """A row of `api_keys`."""

    key: ApiKey
    digest: bytes
    old_digest: bytes | None = None
    old_expire_time: datetime | None = None

    def change(self, **changes: object) -> None:
        self.key = dataclasses.replace(self.key, **changes)  # type: ignore[arg-type]


@dataclass
class MemoryApiKeys:
    """The keys of the people in `memory`."""

    memory: Memory
    rows: dict[str, Row] = field(default_factory=dict)

    async def add(self, key: NewApiKey, deed: Deed, claim: Claim | None = None) -> tuple[ApiKey, bool]:
        if key.user_id not in self.memory.accounts:
            raise NotFound.of("auth.user", key.user_id)
        known = claim is not None and (claim.caller, claim.request_id) in self.memory.claims
        mine = [row for row in self.rows.values() if row.key.user_id == key.user_id]
        if not known and sum(not self._ended(row, self.memory.now()) for row in mine) >= MOST_KEYS:
            raise TooManyApiKeys(MOST_KEYS)
        holder = self._take(claim, key.api_key_id)
        if holder != key.api_key_id:
            return self.rows[holder].key, False
        made = ApiKey(
            key.api_key_id,
            key.user_id,
            key.display_name,
            key.public_id,
            key.scopes,
            self.memory.now(),
            key.expire_time,
        )
        self.rows[key.api_key_id] = Row(made, key.digest)
        self.memory.deeds.append(deed)
        return made, True

    async def get(self, user_id: str, api_key_id: str) -> ApiKey | None:
        row = self._row(user_id, api_key_id)
        return None if row is None else row.key

    async def list(self, user_id: str, page: PageRequest) -> Page[ApiKey]:
        ids = sorted((id_ for id_ in self.rows if self._row(user_id, id_)), reverse=True)
        found = [self.rows[id_].key for id_ in ids if page.after is None or id_ < page.after][page.skip :]
        keys = found[: page.size]
        return Page(keys, keys[-1].api_key_id if len(found) > page.size else None)

    async def rotate(
        self,
        user_id: str,
        api_key_id: str,
        digest: bytes,
        grace: timedelta,
        deed: Deed,
        claim: Claim | None = None,
    ) -> Rotated | None:
        row = self._row(user_id, api_key_id)
        if row is None:
            return None
        now = self.memory.now()
        known = claim is not None and (claim.caller, claim.request_id) in self.memory.claims
        if not known and self._ended(row, now):
            raise ApiKeyEnded
        rotation_id = new_id()
        if self._take(claim, rotation_id) != rotation_id:
            assert row.old_expire_time is not None
            return Rotated(row.key, row.old_expire_time, repeated=True)
        row.old_digest, row.digest = (row.digest if grace else None), digest
        row.old_expire_time = min(now + grace, row.key.expire_time or now + grace)
        self.memory.deeds.append(deed)
        self.memory.revoke(RevocationKind.API_KEY, api_key_id)
        return Rotated(row.key, row.old_expire_time)

    async def revoke(self, user_id: str, api_key_id: str, deed: Deed) -> bool:
        row = self._row(user_id, api_key_id)
        if row is not None and row.key.revoke_time is None:
            row.change(revoke_time=self.memory.now())
            self.memory.deeds.append(deed)
            self.memory.revoke(RevocationKind.API_KEY, api_key_id)
        return row is not None

    async def owner(self, public_id: str, digest: bytes) -> KeyOwner | None:
        now = self.memory.now()
        for row in self.rows.values():
            key, account = row.key, self.memory.accounts.get(row.key.user_id)
            if key.public_id != public_id or account is None or account.user.disabled:
                continue
            expires, is_old = key.expire_time, False
            if row.old_expire_time and row.old_expire_time > now and digest == row.old_digest:
                expires, is_old = row.old_expire_time, True
            elif digest != row.digest:
                return None
            if self._ended(row, now):
                return None
            if key.last_use_time is None or key.last_use_time <= now - MINUTE:
                row.change(last_use_time=now)
            role, scopes = account.user.role, frozenset(key.scopes)
            return KeyOwner(key.api_key_id, key.user_id, role, scopes, expires, is_old)
        return None

    async def prune(self) -> int:
        now = self.memory.now()
        ended = [id_ for id_, row in self.rows.items() if self._ended(row, now - ENDED_KEYS_KEPT)]
        for id_ in ended:
            del self.rows[id_]
        superseded = [
            row for row in self.rows.values() if row.old_digest and (row.old_expire_time or now) <= now
        ]
        for row in superseded:
            row.old_digest = None
        return len(ended) + len(superseded)

    def _row(self, user_id: str, api_key_id: str) -> Row | None:
        row = self.rows.get(api_key_id)
        mine = row is not None and row.key.user_id == user_id and user_id in self.memory.accounts
        return row if mine else None

    def _ended(self, row: Row, now: datetime) -> bool:
        return any(time is not None and time <= now for time in (row.key.revoke_time, row.key.expire_time))

    def _take(self, claim: Claim | None, resource_id: str) -> str:
        if claim is None:
            return resource_id
        key = (claim.caller, claim.request_id)
        digest, holder = self.memory.claims.setdefault(key, (claim.digest, resource_id))
        if digest != claim.digest:
            raise AlreadyExists("reused", reason="REQUEST_ID_REUSED")
        return holder
