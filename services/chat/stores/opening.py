"""Opens what keeps Chat's data: PostgreSQL or MongoDB, as the settings say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from services.capabilities.identity.deletions import Deletions
from services.capabilities.limits import wiring as limits_wiring
from services.capabilities.metering.ports import Outbox
from services.capabilities.metering.stores.sql import SqlOutbox
from services.chat.ports import RecordStore, SessionStore, Tails
from services.chat.stores.deletions import SqlDeletions
from services.chat.stores.records import SqlRecordStore
from services.chat.stores.sessions import SqlSessionStore
from services.chat.stores.tails import SqlTails
from services.infra.postgres.checks import DatabaseCheck
from services.infra.postgres.database import Database
from services.kernel.health import HealthCheck
from services.kernel.limits import RateLimits
from services.runtime.metrics import Metrics
from services.settings import Settings

NAME = "chat"


@dataclass(frozen=True, slots=True)
class Stores:
    """What keeps Chat's data. `deletions` takes what ends a generation that this process makes; `sole_owner` says that no other process can
    be at work on it."""

    records: RecordStore
    tails: Tails
    sessions: SessionStore
    outbox: Outbox
    deletions: Callable[[Callable[[str], None]], Deletions]
    limits: RateLimits
    check: HealthCheck
    sole_owner: bool


def opened(
    settings: Settings,
    database: Database | None,
    *,
    limits_key: bytes,
    sole_owner: bool,
    metrics: Metrics | None,
) -> AbstractAsyncContextManager[Stores]:
    """The stores, while the block runs. `database` is open and has the schema `chat`; with MongoDB there need be none. `limits_key` is what
    accounts are counted under. Raises StartupError."""
    if settings.chat.store == "mongo":
        # Who does not use it need not wait until its driver is imported.
        from services.chat.stores.mongo import opening as mongo

        return mongo.opened(settings, limits_key=limits_key, metrics=metrics)
    assert database is not None
    return _on_postgres(settings, database, limits_key, sole_owner, metrics)


@asynccontextmanager
async def _on_postgres(
    settings: Settings, database: Database, limits_key: bytes, sole_owner: bool, metrics: Metrics | None
) -> AsyncIterator[Stores]:
    async with limits_wiring.build(
        settings.limits, database, NAME, key=limits_key, sole_owner=sole_owner, metrics=metrics
    ) as limits:
        yield Stores(
            SqlRecordStore(database),
            SqlTails(database),
            SqlSessionStore(database),
            SqlOutbox(database, NAME),
            lambda cancel_soon: SqlDeletions(database, cancel_soon),
            limits,
            DatabaseCheck(database),
            sole_owner,
        )
