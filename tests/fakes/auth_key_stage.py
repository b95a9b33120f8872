"""The store of API keys in its surroundings, in memory and on PostgreSQL: people, time, the feed and the audit trail."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.auth.model.accounts import Account, NewAccount, Role, User
from services.auth.model.api_keys import ApiKey, NewApiKey, Rotated
from services.auth.model.audit import Deed, Origin
from services.auth.ports.api_keys import ApiKeys
from services.auth.stores.accounts import insert_account
from services.auth.stores.api_keys import SqlApiKeys
from services.auth.stores.revocations import SqlRevocations
from services.capabilities.claims.model import Claim
from services.infra.postgres.database import Database
from services.kernel.ids import new_id
from tests.fakes.auth_memory import Memory
from tests.fakes.auth_memory_keys import MemoryApiKeys


class InMemory:
    """What surrounds the memory fake."""

    def __init__(self) -> None:
        self.memory = Memory()

    async def person(self, role: Role) -> str:
        user_id, now = new_id(), self.memory.now()
        user = User(user_id, f"{user_id}@example.com", "", "", role, False, now, now)
        self.memory.accounts[user_id] = Account(user, "hash")
        return user_id

    async def disable(self, user_id: str) -> None:
        self.memory.change(user_id, disabled=True)

    async def delete(self, user_id: str) -> None:
        del self.memory.accounts[user_id]

    async def pass_time(self, time: timedelta) -> None:
        self.memory.later += time

    async def revoked(self) -> list[tuple[str, str]]:
        return [(kind.value, subject) for kind, subject in self.memory.revoked]

    async def deeds(self) -> list[str]:
        return [deed.action for deed in self.memory.deeds]


class InPostgres:
    """What surrounds the tables. Time passes by moving what has happened into the past."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def person(self, role: Role) -> str:
        account = NewAccount(new_id(), f"{new_id()}@example.com", "hash", role=role)
        async with self.database.engine.begin() as connection:
            return (await insert_account(connection, account)).user_id

    async def disable(self, user_id: str) -> None:
        await self.run("update auth.users set disabled = true where id = %s", user_id)

    async def delete(self, user_id: str) -> None:
        await self.run("delete from auth.users where id = %s", user_id)

    async def pass_time(self, time: timedelta) -> None:
        columns = ("created_at", "expires_at", "old_expires_at", "last_used_at", "rotated_at", "revoked_at")
        moved = ", ".join(f"{column} = {column} - %s" for column in columns)
        await self.run(f"update auth.api_keys set {moved}", *(time for _ in columns))

    async def revoked(self) -> list[tuple[str, str]]:
        rows = await self.run("select kind, subject_id from auth.revocations order by id")
        return [(kind, str(subject)) for kind, subject in rows]

    async def deeds(self) -> list[str]:
        return [action for (action,) in await self.run("select action from auth.audit_events order by id")]

    async def run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        async with self.database.connection() as connection:
            cursor = await connection.execute(statement.encode(), values)
            return await cursor.fetchall() if cursor.description else []


@dataclass
class KeyStage:
    """The store, as two processes have it, and the world around it."""

    keys: ApiKeys
    other: ApiKeys
    world: InMemory | InPostgres

    async def person(self, role: Role = Role.USER) -> str:
        return await self.world.person(role)

    async def make(self, user_id: str, text: str = "first", **more: Any) -> ApiKey:
        key, is_new = await self.keys.add(new_key(user_id, text, **more), key_deed("key.create", user_id))
        assert is_new
        return key

    async def rotate(self, key: ApiKey, text: str, grace: timedelta, claim: Claim | None = None) -> Rotated:
        by = key_deed("key.rotate", key.user_id)
        rotated = await self.keys.rotate(key.user_id, key.api_key_id, digest(text), grace, by, claim)
        assert rotated is not None
        return rotated

    async def accepts(self, key: ApiKey, text: str) -> bool:
        """Whether both processes do."""
        found = [await keys.owner(key.public_id, digest(text)) for keys in (self.keys, self.other)]
        assert (found[0] is None) == (found[1] is None)
        return found[0] is not None


@asynccontextmanager
async def key_stage(url: str | None) -> AsyncIterator[KeyStage]:
    """The store on a migrated database, as two processes have it; in memory without a URL."""
    if url is None:
        world = InMemory()
        keys = MemoryApiKeys(world.memory)
        yield KeyStage(keys, keys, world)
        return
    async with Database(url, min_size=1, max_size=6) as one, Database(url, min_size=1, max_size=6) as two:
        yield KeyStage(sql_keys(one), sql_keys(two), InPostgres(one))


def near(time: datetime | None, expected: datetime) -> bool:
    return time is not None and abs(time - expected) < timedelta(seconds=20)


def sql_keys(database: Database) -> SqlApiKeys:
    return SqlApiKeys(database, SqlRevocations(database, timedelta(minutes=15)))


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def new_key(user_id: str, text: str, **more: Any) -> NewApiKey:
    public_id = uuid.uuid4().hex[:16]
    return NewApiKey(
        new_id(), user_id, "laptop", public_id, ("chat.read", "chat.write"), digest(text), **more
    )


def key_deed(action: str, user_id: str) -> Deed:
    return Deed(action, user_id, Origin(user_id, "192.0.2.1"), {"key_id": "…"})


def key_claim(body: bytes = b"body", request_id: str = "") -> Claim:
    return Claim("auth.keys:ana", request_id or str(uuid.uuid4()), hashlib.sha256(body).digest())
