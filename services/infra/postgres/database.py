"""The one pool of connections that a process keeps for a database, borrowed by psycopg and by SQLAlchemy
alike.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool

from services.infra.postgres.connections import PoolConnection
from services.infra.postgres.dedicated import DedicatedStatement
from services.infra.postgres.failures import translated
from services.infra.postgres.line import Row
from services.infra.postgres.prepared import PreparedStatement
from services.infra.postgres.urls import describe_url, normalise_url
from services.kernel.startup import StartupError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

_log = logging.getLogger(__name__)

Connection = PoolConnection
Warmer = Callable[[Connection], Awaitable[None]]

_OLDEST_SERVER = 140000
_CONNECT_SECONDS = 10
_BORROW_SECONDS = 10.0
_BORROW_WHILE_AWAY_SECONDS = 1.0
_PING_SECONDS = 3.0
_RECONNECT_SECONDS = 10.0
_MAX_WAITING = 2000
_RETRY_SECONDS = 0.25
_REMIND_SECONDS = 5.0
# A network path that swallows packets is noticed within seconds, not after TCP's quarter of an hour.
_KEEPALIVE = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
_SESSION = {"timezone": "UTC", "idle_in_transaction_session_timeout": "60s"}


class Database:
    """Connections to one PostgreSQL database.

    `open` before use, from the event loop that will use it, and `close` at the end; or `async with`.
    """

    def __init__(
        self,
        url: str,
        *,
        direct_url: str | None = None,
        min_size: int = 2,
        max_size: int = 16,
        statement_seconds: int = 30,
        warm: Iterable[Warmer] = (),
    ) -> None:
        """`url` in any form that `normalise_url` reads. `direct_url` leads past a pooler such as
        PgBouncer; with one in between, neither session settings nor prepared statements can be relied on,
        and both are left out.

        Raises StartupError for an address that cannot be understood.
        """
        self._url = normalise_url(url)
        self._direct_url = normalise_url(direct_url, "DATABASE_DIRECT_URL") if direct_url else self._url
        self._statement_seconds = statement_seconds
        self._warmers = list(warm)
        self._pooled = pooled = self._direct_url != self._url
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            self._url,
            connection_class=Connection,
            kwargs=self._connect_options(self._url, statement_seconds, pooled=pooled),
            min_size=min_size,
            max_size=max_size,
            open=False,
            configure=self._warm,
            name="antiphon",
            close_returns=True,
            timeout=_BORROW_SECONDS,
            max_waiting=_MAX_WAITING,
            reconnect_timeout=_RECONNECT_SECONDS,
        )
        self._engine: AsyncEngine | None = None
        self._away = False
        self._dedicated: list[DedicatedStatement] = []

    def __repr__(self) -> str:
        return f"Database({self.address})"

    @property
    def address(self) -> str:
        """Where the database is, without the password."""
        return describe_url(self._url)

    @property
    def pool_size(self) -> int:
        """How many connections the pool has at most."""
        return self._pool.max_size

    @property
    def direct_url(self) -> str:
        """The address that leads to the server itself; it holds the password."""
        return self._direct_url

    def warm_with(self, warmer: Warmer) -> None:
        """Has `warmer` called with every new connection, in autocommit, before anybody borrows it: to
        prepare statements.

        Call it before `open`.
        """
        self._warmers.append(warmer)

    async def open(self, wait_seconds: float = 30.0, on_wait: Callable[[str], None] | None = None) -> None:
        """Opens the pool, once the database answers; `on_wait` is told now and then what is being waited for.

        Raises StartupError when it does not answer in time, refuses us, or cannot serve the suite.
        """
        await self._wait_for_database(wait_seconds, on_wait or _log.warning)
        await self._pool.open()
        try:
            await self._pool.wait(timeout=_BORROW_SECONDS)
        except psycopg.OperationalError as error:
            await self.close()
            raise StartupError(
                f"The database {self.address} answers, but gives too few connections or none: {error}.",
                "Look at the server's max_connections and at the log above.",
            ) from error

    async def close(self) -> None:
        """Closes every connection. What is borrowed is closed when it comes back."""
        for statement in self._dedicated:
            await statement.close()
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None
        await self._pool.close()

    async def __aenter__(self) -> "Database":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection in autocommit; group statements with `connection.transaction()`.

        Raises Unavailable when none is free for 10 s (1 s while the database is known to be away), and, as
        `translated` does, when the database fails inside.
        """
        with translated():
            borrowed = await self._borrow()
            try:
                if not borrowed.autocommit:
                    await borrowed.set_autocommit(True)
                yield borrowed
            finally:
                await self._give_back(borrowed)

    async def execute(self, statement: PreparedStatement, values: Mapping[str, bytes | None]) -> list[Row]:
        """Executes a prepared statement on a connection of its own, in autocommit; values and rows in binary form.

        Raises what `connection` raises, and as `translated` does what the database finds wrong.
        """
        with translated():
            borrowed = await self._borrow()
            try:
                if not borrowed.autocommit:
                    await borrowed.set_autocommit(True)
                return await statement.execute(borrowed, values)
            finally:
                await self._pool.putconn(borrowed)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection in a transaction, which commits when the block ends and rolls back when it raises."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @contextlib.asynccontextmanager
    async def direct(self) -> AsyncIterator[Connection]:
        """A connection of its own that no pooler stands in front of, for LISTEN and session advisory locks.

        It is in autocommit, its statements may take any time, and it does not count among the pool's.
        """
        with translated():
            options = self._connect_options(self._direct_url, 0, pooled=False)
            async with await Connection.connect(self._direct_url, **options) as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def alone(self, key: int) -> AsyncIterator[bool]:
        """Inside the block nobody else has the advisory lock of this number, if what it yields is True. The lock lives with a connection of its
        own, and goes with it."""
        async with self.direct() as connection:
            cursor = await connection.execute("select pg_try_advisory_lock(%s)", (key,))
            row = await cursor.fetchone()
            held = bool(row and row[0])
            try:
                yield held
            finally:
                if held:
                    # The server notices some time later that a connection was closed.
                    with contextlib.suppress(psycopg.Error):
                        await connection.execute("select pg_advisory_unlock(%s)", (key,))

    def dedicated(self, sql: str, settings: str) -> DedicatedStatement:
        """A statement with a connection of its own, as `direct` makes them, until this is closed."""
        statement = DedicatedStatement(self.direct, sql, settings, self._statement_seconds)
        self._dedicated.append(statement)
        return statement

    @property
    def engine(self) -> "AsyncEngine":
        """SQLAlchemy's view of the same pool. SQLAlchemy is imported at the first use."""
        if self._engine is None:
            from sqlalchemy.ext.asyncio import create_async_engine
            from sqlalchemy.pool import NullPool

            # NullPool hands every connection back at once, and `close_returns` makes closing it a return to
            # our pool.
            self._engine = create_async_engine(
                "postgresql+psycopg://",
                async_creator=self._borrow_for_engine,
                poolclass=NullPool,
                use_native_hstore=False,
            )
        return self._engine

    async def ping(self) -> None:
        """Asks the database for an answer. Raises Unavailable."""
        with translated():
            try:
                async with asyncio.timeout(_PING_SECONDS), self.connection() as connection:
                    await connection.execute("select 1")
            except TimeoutError as error:
                raise psycopg.OperationalError("no answer in time") from error

    async def _borrow(self) -> Connection:
        while True:
            failed = self._failed_connects()
            try:
                connection = await self._pool.getconn(
                    _BORROW_WHILE_AWAY_SECONDS if self._away else _BORROW_SECONDS
                )
            except BaseException:
                # None came back and new ones could not be made: until one can, nobody is kept waiting for long.
                self._away = self._away or self._failed_connects() > failed
                raise
            self._away = False
            if not connection.has_news():
                return connection
            # The server ended it while it was idle. A dead one given back is replaced by the pool.
            connection.pgconn.finish()
            await self._pool.putconn(connection)

    async def _give_back(self, borrowed: Connection) -> None:
        if borrowed.info.transaction_status is TransactionStatus.INTRANS:
            # Whoever is cancelled while a transaction begins leaves it open; the pool would warn of a defect.
            with contextlib.suppress(psycopg.Error):
                await borrowed.rollback()
        await self._pool.putconn(borrowed)

    def _failed_connects(self) -> int:
        return self._pool.get_stats().get("connections_errors", 0)

    async def _borrow_for_engine(self) -> Connection:
        with translated():
            connection = await self._borrow()
            # SQLAlchemy begins transactions the way the driver does when it is not in autocommit.
            await connection.set_autocommit(False)
            return connection

    async def _warm(self, connection: Connection) -> None:
        # What a warmer sets or prepares would stay behind, in a pooler, for other clients.
        for warmer in () if self._pooled else self._warmers:
            await warmer(connection)

    def _connect_options(self, url: str, statement_seconds: int, *, pooled: bool) -> dict[str, Any]:
        given = conninfo_to_dict(url)
        options: dict[str, Any] = {"autocommit": True, "prepare_threshold": None if pooled else 5}
        options |= {"application_name": "antiphon", "connect_timeout": _CONNECT_SECONDS, **_KEEPALIVE}
        if not pooled:
            settings = {**_SESSION, "statement_timeout": f"{statement_seconds}s"}
            ours = " ".join(f"-c {name}={value}" for name, value in settings.items())
            # What the address itself asks for comes last, and so has the last word.
            options["options"] = f"{ours} {given.get('options') or ''}".strip()
        return {key: value for key, value in options.items() if key == "options" or key not in given}

    async def _wait_for_database(self, wait_seconds: float, on_wait: Callable[[str], None]) -> None:
        deadline = time.monotonic() + wait_seconds
        remind = 0.0
        while True:
            try:
                options = self._connect_options(
                    self._url, self._statement_seconds, pooled=self._url != self._direct_url
                )
                async with await Connection.connect(self._url, **options) as connection:
                    self._judge(connection)
                    return
            except psycopg.OperationalError as error:
                why = " ".join(str(error).split())
                if _is_final(why) or time.monotonic() > deadline:
                    raise StartupError(
                        f"The database {self.address} cannot be reached: {why}.",
                        "Start it, or correct DATABASE_URL. Without DATABASE_URL the suite runs a PostgreSQL of its own.",
                    ) from None
                if time.monotonic() > remind:
                    on_wait(f"Waiting for the database {self.address}: {why}")
                    remind = time.monotonic() + _REMIND_SECONDS
            await asyncio.sleep(_RETRY_SECONDS)

    def _judge(self, connection: Connection) -> None:
        version = connection.info.server_version
        if version < _OLDEST_SERVER:
            raise StartupError(
                f"The database {self.address} is PostgreSQL {version // 10000}, which is too old.",
                f"PostgreSQL {_OLDEST_SERVER // 10000} or later is needed.",
            )
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise StartupError(
                f"The database {self.address} keeps its text in {encoding}.",
                "Texts of any language are stored: create the database with ENCODING 'UTF8'.",
            )


def _is_final(why: str) -> bool:
    """Whether the server answered with a refusal that waiting does not change."""
    passing = (
        "starting up",
        "shutting down",
        "recovery",
        "too many",
        "remaining connection slots",
        "not yet accepting",
    )
    return "FATAL:" in why and not any(word in why for word in passing)
