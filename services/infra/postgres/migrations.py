"""The runner of every service's migrations: one schema and one Alembic history per service, one lock for
all.

To ask where a database stands takes a query and no Alembic; that is imported only when there is something to
apply.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from services.infra.postgres.histories import (
    History,
    SchemaStatus,
    State,
    compare,
    read_history,
    refuse_ahead,
    require_current,
)
from services.infra.postgres.urls import normalise_url
from services.kernel.startup import StartupError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_log = logging.getLogger(__name__)

_SERVICES = Path(__file__).parents[2]
_ENVIRONMENT = Path(__file__).with_name("environment")
_VERSION_TABLE = "alembic_version"
_LOCK_KEY = 0x616E7469_70686F6E  # "antiphon" in ASCII: the number that all replicas agree on
_LOCK_SECONDS = 60.0
_POLL_SECONDS = 0.05
_CONNECT_SECONDS = 10


async def status(url: str, services: Iterable[str], *, root: Path = _SERVICES) -> list[SchemaStatus]:
    """Where each service's schema stands. Raises StartupError when the database cannot be reached."""
    histories = [read_history(service, root) for service in services]
    return await asyncio.to_thread(_status, normalise_url(url), histories)


async def ensure_current(url: str, services: Iterable[str], *, root: Path = _SERVICES) -> None:
    """For a start on a database that others own: raises StartupError unless every schema is current."""
    require_current(await status(url, services, root=root))


async def upgrade(url: str, services: Iterable[str], *, root: Path = _SERVICES) -> list[SchemaStatus]:
    """Brings each service's schema to the code's head, and returns where they stood before.

    `url` must lead to the server itself and not to a pooler. Whoever else upgrades at the same time is waited
    for. Each service's migrations commit together or not at all, so an interrupted upgrade leaves the
    previous state. Raises StartupError when the database cannot be reached, is ahead of the code, or a
    migration fails.
    """
    histories = [read_history(service, root) for service in services]
    working = asyncio.ensure_future(asyncio.to_thread(_upgrade, normalise_url(url), histories))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        # The thread cannot be interrupted; whoever cancelled us may be about to stop the server under it.
        with contextlib.suppress(asyncio.CancelledError, StartupError):
            await working
        raise


def _status(url: str, histories: Sequence[History]) -> list[SchemaStatus]:
    with _connected(url) as connection:
        return compare(histories, _revisions(connection, histories))


def _upgrade(url: str, histories: Sequence[History]) -> list[SchemaStatus]:
    with _connected(url) as connection:
        before = compare(histories, _revisions(connection, histories))
        refuse_ahead(before)
        if all(found.state is State.CURRENT for found in before):
            return before
        _lock(connection)
        # Whoever held the lock may have done the work meanwhile.
        before = compare(histories, _revisions(connection, histories))
        refuse_ahead(before)
        for history, found in zip(histories, before, strict=True):
            if found.state is not State.CURRENT:
                _log.info("Migrating the schema %s", found)
                _apply(connection, history)
        return before


@contextlib.contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    try:
        connection = psycopg.connect(
            url, autocommit=True, connect_timeout=_CONNECT_SECONDS, application_name="antiphon migrations"
        )
    except psycopg.OperationalError as error:
        raise StartupError(
            f"The database cannot be reached: {' '.join(str(error).split())}.",
            "Start it, or correct DATABASE_URL.",
        ) from None
    with connection:
        yield connection


def _revisions(connection: psycopg.Connection[Any], histories: Sequence[History]) -> dict[str, str]:
    names = [history.service for history in histories]
    existing = connection.execute(
        "select schemaname from pg_catalog.pg_tables where tablename = %s and schemaname = any(%s)",
        (_VERSION_TABLE, names),
    ).fetchall()
    if not existing:
        return {}
    questions = [
        sql.SQL("select {} as service, max(version_num) from {}").format(
            name, sql.Identifier(name, _VERSION_TABLE)
        )
        for (name,) in existing
    ]
    rows = connection.execute(sql.SQL(" union all ").join(questions)).fetchall()
    return {name: revision for name, revision in rows if revision is not None}


def _lock(connection: psycopg.Connection[Any]) -> None:
    """Takes the lock for as long as the connection lives."""
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        row = connection.execute("select pg_try_advisory_lock(%s)", (_LOCK_KEY,)).fetchone()
        if row is not None and row[0]:
            return
        if time.monotonic() > deadline:
            raise StartupError(
                f"Another process has been migrating the database for more than {_LOCK_SECONDS:.0f} s.",
                "Wait for it, or look in pg_stat_activity for what it waits for.",
            )
        time.sleep(_POLL_SECONDS)


def _apply(connection: psycopg.Connection[Any], history: History) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import StaticPool

    # SQLAlchemy works on the connection that holds the lock, so lock and migration end together.
    connection.autocommit = False
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool, use_native_hstore=False
    )
    try:
        with engine.begin() as transaction:
            transaction.exec_driver_sql(f'create schema if not exists "{history.service}"')
            transaction.exec_driver_sql(f'set local search_path to "{history.service}", public')
            _run_scripts(transaction, history)
    except (DBAPIError, psycopg.Error) as error:
        why = " ".join(str(getattr(error, "orig", error)).split())
        raise StartupError(
            f"A migration of {history.service} failed and was rolled back: {why}.",
            "The schema is as it was before. Correct what the message says, then migrate again.",
        ) from error
    finally:
        if not connection.closed:
            connection.rollback()
            connection.autocommit = True


def _run_scripts(transaction: "Connection", history: History) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    for name, place in (("script_location", _ENVIRONMENT), ("version_locations", history.folder)):
        # Alembic would substitute what follows a percent sign.
        config.set_main_option(name, str(place).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    config.attributes.update(connection=transaction, schema=history.service, version_table=_VERSION_TABLE)
    command.upgrade(config, history.head)
