"""The use cases of API keys over a store in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import datetime, timedelta

from services.auth.model.accounts import Account, Role, User
from services.auth.model.api_keys import ApiKey
from services.auth.model.audit import Origin
from services.auth.providers.api_keys import OpaqueApiKeys, OwnApiKeys
from services.auth.usecases.api_keys import (
    CreateApiKey,
    GetApiKey,
    ListApiKeys,
    RevokeApiKey,
    RotateApiKey,
    Scopes,
)
from services.capabilities.identity.errors import ApiKeyInvalid
from services.kernel.ids import new_id
from services.kernel.paging import PageTokens
from services.kernel.principal import Kind, Principal
from tests.fakes.auth_memory import Memory
from tests.fakes.auth_memory_keys import MemoryApiKeys

MAKER = OpaqueApiKeys()
SCOPES = Scopes(frozenset({"chat.read", "chat.write", "keys.read", "keys.write"}), frozenset({"admin"}))
CLAIM_KEY = b"c" * 32
HOUR = timedelta(hours=1)


class Desk:
    """The use cases over a store in memory, and the people who use them."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.store = MemoryApiKeys(self.memory)
        self.create = CreateApiKey(self.store, MAKER, SCOPES, CLAIM_KEY)
        self.list = ListApiKeys(self.store, PageTokens(b"p" * 32))
        self.get = GetApiKey(self.store)
        self.rotate = RotateApiKey(self.store, MAKER, SCOPES, CLAIM_KEY)
        self.revoke = RevokeApiKey(self.store)
        self.own = OwnApiKeys(self.store, MAKER)

    def person(self, role: Role = Role.USER) -> Principal:
        user_id, now = new_id(), self.memory.now()
        user = User(user_id, f"{user_id}@example.com", "", "", role, False, now, now)
        self.memory.accounts[user_id] = Account(user, "hash")
        kind = Kind.ADMIN if role is Role.ADMIN else Kind.USER
        return Principal(kind, user_id=user_id, session_id=new_id())

    async def made(
        self,
        caller: Principal,
        *scopes: str,
        name: str = "laptop",
        expires: datetime | None = None,
        request_id: str = "",
    ) -> tuple[ApiKey, str]:
        wanted: Iterable[str] = scopes or ("chat.read",)
        return await self.create(caller, name, wanted, expires, request_id, origin(caller))

    async def accepted(self, text: str) -> bool:
        try:
            return bool(await self.own.verify(text))
        except ApiKeyInvalid:
            return False


def origin(caller: Principal) -> Origin:
    return Origin(caller.user_id, "192.0.2.1")


def with_scopes(caller: Principal, *scopes: str, expire_time: float = 0.0) -> Principal:
    """The same person, calling with a key."""
    return dataclasses.replace(
        caller, session_id="", api_key_id=new_id(), scopes=frozenset(scopes), expire_time=expire_time
    )
