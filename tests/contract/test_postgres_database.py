"""The pool of connections, against a real server."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from services.infra.postgres.database import Connection, Database
from services.infra.postgres.failures import translated
from services.kernel.errors import Unavailable
from services.kernel.startup import StartupError


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    async with Database(postgres_url, min_size=1, max_size=3) as database:
        yield database


async def _one(connection: Connection, query: str) -> Any:
    row = await (await connection.execute(query)).fetchone()
    assert row is not None
    return row[0]


async def _cut_all_but(url: str) -> None:
    """What a restart of the server does to connections, seen from their other end."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )


async def test_a_borrowed_connection_is_in_autocommit_with_the_suites_settings(database: Database) -> None:
    async with database.connection() as connection:
        assert connection.autocommit
        assert await _one(connection, "show timezone") == "UTC"
        assert await _one(connection, "show statement_timeout") == "30s"
        assert await _one(connection, "show application_name") == "antiphon"


async def test_options_of_the_address_have_the_last_word(postgres_url: str) -> None:
    address = f"{postgres_url}&options=-c%20statement_timeout%3D7s&application_name=mine"
    async with Database(address, min_size=1) as database, database.connection() as connection:
        assert await _one(connection, "show statement_timeout") == "7s"
        assert await _one(connection, "show application_name") == "mine"
        assert await _one(connection, "show timezone") == "UTC"


async def test_sqlalchemy_borrows_from_the_same_pool_and_gives_back(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("create table notes (text text not null)")
        backend = await _one(connection, "select pg_backend_pid()")
    for number in range(5):
        async with database.engine.begin() as engine_connection:
            await engine_connection.execute(text("insert into notes values (:note)"), {"note": str(number)})
            assert (await engine_connection.execute(text("select pg_backend_pid()"))).scalar_one() == backend
    async with database.connection() as connection:
        assert connection.autocommit
        assert await _one(connection, "select count(*) from notes") == 5


async def test_what_sqlalchemy_does_not_commit_is_rolled_back(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("create table notes (text text not null)")
    async with database.engine.connect() as engine_connection:
        await engine_connection.execute(text("insert into notes values ('lost')"))
    async with database.connection() as connection:
        assert await _one(connection, "select count(*) from notes") == 0


async def test_borrowing_through_sqlalchemy_leaves_nothing_behind_on_a_connection(database: Database) -> None:
    for _ in range(10):
        async with database.engine.connect() as engine_connection:
            await engine_connection.execute(text("select 1"))
    async with database.connection() as connection:
        assert len(connection._notice_handlers) <= 1


async def test_a_transaction_commits_at_its_end_and_rolls_back_on_an_error(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("create table notes (text text not null)")
        await connection.execute("insert into notes values ('kept')")

    async def fail_halfway() -> None:
        async with database.transaction() as connection:
            await connection.execute("insert into notes values ('lost')")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_halfway()
    async with database.connection() as connection:
        assert await _one(connection, "select string_agg(text, ',') from notes") == "kept"


async def test_connections_that_the_server_ended_are_replaced_without_anybody_noticing(
    postgres_url: str,
) -> None:
    async with Database(postgres_url, min_size=3, max_size=3) as database:
        await _cut_all_but(postgres_url)
        started = time.monotonic()
        for _ in range(6):
            async with database.connection() as connection:
                assert await _one(connection, "select 1") == 1
            async with database.engine.connect() as engine_connection:
                assert (await engine_connection.execute(text("select 1"))).scalar_one() == 1
        assert time.monotonic() - started < 5


async def test_a_connection_lost_in_the_middle_of_its_use_is_unavailable_and_the_next_one_works(
    database: Database, postgres_url: str
) -> None:
    async def lose_it() -> None:
        async with database.connection() as connection:
            await _cut_all_but(postgres_url)
            await connection.execute("select 1")

    with pytest.raises(Unavailable) as failure:
        await lose_it()
    assert failure.value.retry_after
    await database.ping()


async def test_the_same_through_sqlalchemy(database: Database, postgres_url: str) -> None:
    async def lose_it() -> None:
        with translated():
            async with database.engine.begin() as connection:
                await connection.execute(text("select 1"))
                await _cut_all_but(postgres_url)
                await connection.execute(text("select 1"))

    with pytest.raises(Unavailable):
        await lose_it()
    await database.ping()


async def test_a_violated_constraint_is_no_outage(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("create table notes (text text primary key)")
        await connection.execute("insert into notes values ('twice')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            await connection.execute("insert into notes values ('twice')")


async def test_when_every_connection_is_busy_the_next_caller_is_told_after_a_while(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.infra.postgres.database._BORROW_SECONDS", 0.3)
    async with Database(postgres_url, min_size=1, max_size=1) as database:
        async with database.connection():
            with pytest.raises(Unavailable):
                async with database.connection():
                    raise AssertionError("there is no second connection to give")
        await database.ping()


async def test_a_cancelled_caller_returns_its_connection(postgres_url: str) -> None:
    async with Database(postgres_url, min_size=1, max_size=1) as database:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), database.connection() as connection:
                    await connection.execute("select pg_sleep(20)")
        await database.ping()


async def test_a_statement_past_its_time_is_unavailable(postgres_url: str) -> None:
    async with Database(postgres_url, min_size=1, statement_seconds=1) as database:
        with pytest.raises(Unavailable):
            async with database.connection() as connection:
                await connection.execute("select pg_sleep(20)")
        await database.ping()


async def test_every_new_connection_is_warmed_before_it_is_lent(postgres_url: str) -> None:
    async def prepare(connection: Connection) -> None:
        await connection.execute("prepare answer as select 42")

    database = Database(postgres_url, min_size=2, max_size=2)
    database.warm_with(prepare)
    async with database:
        await _cut_all_but(postgres_url)
        for _ in range(3):
            async with database.connection() as connection:
                assert await _one(connection, "execute answer") == 42


async def test_a_direct_connection_is_outside_of_the_pool(postgres_url: str) -> None:
    async with Database(postgres_url, min_size=1, max_size=1) as database, database.direct() as listening:
        assert await _one(listening, "show statement_timeout") == "0"
        await listening.execute("listen news")
        async with database.connection() as connection:
            await connection.execute("notify news, 'hello'")
        async for notification in listening.notifies(timeout=10, stop_after=1):
            assert notification.payload == "hello"


async def test_with_a_pooler_in_between_no_session_state_is_asked_for(postgres_url: str) -> None:
    other_way = f"{postgres_url}&connect_timeout=9"
    async with Database(postgres_url, direct_url=other_way, min_size=1) as database:
        async with database.connection() as connection:
            assert connection.prepare_threshold is None
            assert await _one(connection, "show statement_timeout") == "0"
        async with database.direct() as connection:
            assert await _one(connection, "show timezone") == "UTC"


async def test_an_unreachable_database_is_waited_for_and_then_reported_without_its_password() -> None:
    waited: list[str] = []
    database = Database("postgresql+asyncpg://somebody:hush%20hush@127.0.0.1:1/nowhere")
    with pytest.raises(StartupError) as failure:
        await database.open(wait_seconds=0.5, on_wait=waited.append)
    assert "somebody@127.0.0.1:1/nowhere" in str(failure.value)
    assert len(waited) == 1
    assert "hush" not in str(failure.value) + waited[0] + repr(database)


async def test_a_database_that_refuses_us_is_reported_at_once(postgres_url: str) -> None:
    database = Database(f"{postgres_url}&dbname=not_there")
    started = time.monotonic()
    with pytest.raises(StartupError, match="not_there"):
        await database.open(wait_seconds=30)
    assert time.monotonic() - started < 5


async def test_a_transaction_that_is_left_open_is_rolled_back_without_a_word(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Database(postgres_url, min_size=1, max_size=1) as database:
        async with database.connection() as connection:
            # As whoever is cancelled while a transaction begins leaves it.
            await connection.execute("begin")
            await connection.execute("create table half (n int)")
        async with database.connection() as connection:
            cursor = await connection.execute("select to_regclass('half') is null")
            assert await cursor.fetchone() == (True,)
    assert not [record for record in caplog.records if "rolling back" in record.message]
