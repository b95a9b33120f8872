"""The database of a suite: embedded or given, reachable, with its schemas, open."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from services.infra.postgres import migrations
from services.infra.postgres.database import Database, Warmer
from services.infra.postgres.embedded import EmbeddedPostgres
from services.kernel.startup import StartupError
from services.settings import DatabaseSettings, Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenDatabase:
    """A database, and the embedded server that it is on, if it is."""

    database: Database
    embedded: EmbeddedPostgres | None


def schemas_of(settings: Settings, services: Iterable[str]) -> tuple[str, ...]:
    """Which of these services keep something in PostgreSQL; where there are none, none is started or connected to. Raises StartupError."""
    elsewhere, services = on_mongo(settings), tuple(services)
    for service in services:
        if service in elsewhere and settings.mongo.url is None:
            raise StartupError(
                f"ANTIPHON_{service.upper()}__STORE is mongo, and no MongoDB is named.",
                "Set MONGODB_URL=mongodb://user:password@host/antiphon, or leave "
                f"ANTIPHON_{service.upper()}__STORE out to keep its data in PostgreSQL.",
            )
    return tuple(service for service in services if service not in elsewhere)


def on_mongo(settings: Settings) -> frozenset[str]:
    """The services that the settings keep in MongoDB."""
    stores = {"chat": settings.chat.store, "analytics": settings.analytics.store}
    return frozenset(service for service, store in stores.items() if store == "mongo")


@asynccontextmanager
async def open_database(
    settings: Settings, schemas: Sequence[str], prepare: Callable[[], Sequence[Warmer]]
) -> AsyncIterator[OpenDatabase]:
    """An open database with the schemas of these services. `prepare` is called, once, while an embedded server starts, and says what
    every connection is warmed with.

    Migrations are applied on the embedded database only. Raises StartupError.
    """
    async with AsyncExitStack() as stack:
        if settings.database.url is None:
            embedded = EmbeddedPostgres(settings.data_dir)
            stack.push_async_callback(embedded.stop)
            url, warmers = await _start(embedded, prepare)
            await migrations.upgrade(url, schemas)
            database = _database(url, None, settings.database)
        else:
            embedded = None
            warmers = prepare()
            database = _database(settings.database.url, settings.database.direct_url, settings.database)
            await _reach(database.direct_url, settings.database)
            await migrations.ensure_current(database.direct_url, schemas)
        for warmer in warmers:
            database.warm_with(warmer)
        await database.open(settings.database.start_timeout, _log.warning)
        stack.push_async_callback(database.close)
        yield OpenDatabase(database, embedded)


async def _start(
    embedded: EmbeddedPostgres, prepare: Callable[[], Sequence[Warmer]]
) -> tuple[str, Sequence[Warmer]]:
    starting = asyncio.create_task(embedded.start())
    try:
        # The server's start is waiting for a process most of the time; what imports cost hides behind it.
        warmers = await asyncio.to_thread(prepare)
        return await starting, warmers
    except BaseException:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        raise


async def _reach(url: str, settings: DatabaseSettings) -> None:
    """Wait until the database answers: who asks for its schemas expects that it does."""
    probe = Database(_with_timeout(url, settings), min_size=1, max_size=1)
    await probe.open(settings.start_timeout, _log.warning)
    await probe.close()


def _database(url: str, direct_url: str | None, settings: DatabaseSettings) -> Database:
    return Database(
        _with_timeout(url, settings),
        direct_url=None if direct_url is None else _with_timeout(direct_url, settings),
        min_size=min(2, settings.pool_size),
        max_size=settings.pool_size,
        statement_seconds=max(1, math.ceil(settings.statement_timeout)),
    )


def _with_timeout(url: str, settings: DatabaseSettings) -> str:
    if "connect_timeout=" in url:
        return url
    # libpq takes whole seconds, and 1 as 2.
    return f"{url}{'&' if '?' in url else '?'}connect_timeout={max(2, math.ceil(settings.connect_timeout))}"
