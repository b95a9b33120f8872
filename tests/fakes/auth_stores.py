"""Auth's stores for the contract suites: in memory, and on PostgreSQL as two processes have them."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from services.auth.model.accounts import NewAccount
from services.auth.model.audit import Deed, Origin
from services.auth.model.sessions import NewSession, Successor
from services.auth.ports.accounts import Accounts, Setup
from services.auth.ports.audit import AuditTrail
from services.auth.ports.sessions import Sessions
from services.auth.ports.signing_keys import SigningKeys
from services.auth.stores.accounts import SqlAccounts
from services.auth.stores.audit import SqlAuditTrail
from services.auth.stores.revocations import SqlRevocations
from services.auth.stores.sessions import SqlSessions
from services.auth.stores.setup import SqlSetup
from services.auth.stores.signing_keys import SqlSigningKeys
from services.capabilities.claims.model import Claim
from services.infra.postgres.database import Database
from services.kernel.ids import new_id
from tests.fakes.auth_memory import (
    Memory,
    MemoryAccounts,
    MemoryAuditTrail,
)
from tests.fakes.auth_memory_sessions import MemorySessions
from tests.fakes.auth_memory_setup import MemorySetup
from tests.fakes.auth_memory_signing_keys import MemorySigningKeys

DAY = timedelta(days=1)
GRACE = timedelta(seconds=30)
SOMEWHERE = Origin("", "192.0.2.1")


@dataclass
class Stores:
    """One process's stores; `other` are those of another process on the same database."""

    accounts: Accounts
    sessions: Sessions
    setup: Setup
    signing_keys: SigningKeys
    audit: AuditTrail
    state: Any
    others: list[Stores] = field(default_factory=list)

    @property
    def other(self) -> Stores:
        return self.others[0] if self.others else self

    async def add(self, email: str = "ana@example.com", **more: Any) -> NewAccount:
        """Make an account."""
        made = account(email, **more)
        await self.accounts.add(made, deed("user.register", made.user_id))
        return made

    async def open(
        self, token: str, lifetime: timedelta = DAY, email: str = "ana@example.com", **more: Any
    ) -> NewSession:
        """Make an account and log it in; `token` is the refresh token."""
        made = await self.add(email, **more)
        session = NewSession(new_id(), made.user_id, digest(token), "laptop", lifetime)
        assert await self.sessions.open(session, "hash-1", deed("user.login", made.user_id)) is not None
        return session

    async def trail(self) -> Sequence[tuple[str, str]]:
        """What was done to whom, oldest first."""
        if isinstance(self.state, Memory):
            return [(line.action, line.user_id) for line in self.state.deeds]
        rows = await self.rows("select action, user_id::text from auth.audit_events order by id")
        return [(action, user_id or "") for action, user_id in rows]

    async def revoked(self) -> Sequence[tuple[str, str]]:
        """What was revoked, oldest first: kind and subject."""
        if isinstance(self.state, Memory):
            return [(kind.value, subject) for kind, subject in self.state.revoked]
        return await self.rows("select kind, subject_id::text from auth.revocations order by id")

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What PostgreSQL answers, past the stores."""
        async with self.state.connection() as connection:
            cursor = await connection.execute(query)
            found: list[tuple[Any, ...]] = await cursor.fetchall()
            return found


def account(email: str = "ana@example.com", **more: Any) -> NewAccount:
    return NewAccount(user_id=new_id(), email=email, password_hash="hash-1", **more)


def deed(action: str, user_id: str, **attributes: str) -> Deed:
    return Deed(action, user_id, SOMEWHERE, attributes)


def claim(body: bytes = b"body", request_id: str = "") -> Claim:
    return Claim("auth.register", request_id or str(uuid.uuid4()), hashlib.sha256(body).digest())


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def successor(token: str, lifetime: timedelta = DAY) -> Successor:
    return Successor(new_id(), digest(token), b"sealed " + token.encode(), lifetime)


def memory_stores() -> Stores:
    memory = Memory()
    return Stores(
        MemoryAccounts(memory),
        MemorySessions(memory),
        MemorySetup(memory),
        MemorySigningKeys(),
        MemoryAuditTrail(memory),
        memory,
    )


def sql_stores(database: Database) -> Stores:
    revocations = SqlRevocations(database, timedelta(minutes=15))
    return Stores(
        SqlAccounts(database, revocations),
        SqlSessions(database, revocations),
        SqlSetup(database),
        SqlSigningKeys(database),
        SqlAuditTrail(database),
        database,
    )


@contextlib.asynccontextmanager
async def two_processes(url: str) -> AsyncIterator[Stores]:
    """The stores of one process, and by `other` those of another, on a migrated database."""
    async with Database(url, min_size=1, max_size=8) as one, Database(url, min_size=1, max_size=8) as two:
        made = sql_stores(one)
        made.others.append(sql_stores(two))
        yield made
