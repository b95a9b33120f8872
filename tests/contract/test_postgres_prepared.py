"""Statements that are executed by libpq directly on the pool's connections."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text as sql_text

from services.infra.postgres.binary import (
    TRUE,
    Kind,
    bigint,
    bigints,
    boolean,
    jsonb,
    smallint,
    smallints,
    text,
    texts,
    timestamptz,
    timestamptzs,
    uuid,
    uuids_of_texts,
)
from services.infra.postgres.database import Connection, Database
from services.infra.postgres.prepared import PreparedStatement
from services.kernel.errors import InvalidArgument, Unavailable
from services.kernel.ids import new_id

QUOTIENT = PreparedStatement(
    "select 1 / %(divisor)s, pg_backend_pid()::bigint::text from pg_sleep(0)", {"divisor": Kind.BIGINT}
)
ECHO = PreparedStatement(
    "select %(number)s from pg_sleep(%(centiseconds)s / 100.0)",
    {"number": Kind.BIGINT, "centiseconds": Kind.BIGINT},
)
PREPARED = "select count(*) from pg_prepared_statements where name like 'antiphon%'"


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    async with Database(postgres_url, min_size=1, max_size=1, statement_seconds=10) as opened:
        yield opened


async def _backend(database: Database) -> int:
    ((_, pid),) = await database.execute(QUOTIENT, {"divisor": bigint(1)})
    assert pid is not None
    return int(pid)


async def _echo(database: Database, number: int, *, seconds: float = 0) -> bytes | None:
    values = {"number": bigint(number), "centiseconds": bigint(round(seconds * 100))}
    ((echoed,),) = await database.execute(ECHO, values)
    return echoed


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def test_values_of_all_kinds_mean_what_the_driver_means_by_them(database: Database) -> None:
    id_, now, quoted = UUID(new_id()), datetime(1999, 12, 31, 23, 59, 59, 999_999, UTC), 'a"b{,}\\ é 🙂'
    values = {
        "flag": (Kind.BOOLEAN, boolean(True), True),
        "small": (Kind.SMALLINT, smallint(-3), -3),
        "big": (Kind.BIGINT, bigint(2**62), 2**62),
        "words": (Kind.TEXT, text(quoted), quoted),
        "many": (Kind.TEXTS, texts(["", quoted]), ["", quoted]),
        "none": (Kind.TEXTS, texts([]), []),
        "numbers": (Kind.BIGINTS, bigints([1, -2]), [1, -2]),
        "data": (Kind.BYTEA, b"\0\xff", b"\0\xff"),
        "before": (Kind.TIMESTAMPTZ, timestamptz(now), now),
        "after": (Kind.TIMESTAMPTZ, timestamptz(now + timedelta(days=9999)), now + timedelta(days=9999)),
        "moments": (Kind.TIMESTAMPTZS, timestamptzs([0, -1]), [_EPOCH, _EPOCH - timedelta(microseconds=1)]),
        "smalls": (Kind.SMALLINTS, smallints([-1, 2**15 - 1]), [-1, 2**15 - 1]),
        "id": (Kind.UUID, uuid(str(id_)), id_),
        "ids": (Kind.UUIDS, uuids_of_texts([str(id_), str(id_).upper()]), [id_, id_]),
        "json": (Kind.JSONB, jsonb([["id", quoted]]), [["id", quoted]]),
        "nothing": (Kind.TEXT, None, None),
    }
    async with database.connection() as connection:
        await connection.execute(
            """create table kept (flag boolean, small smallint, big bigint, words text, many text[], none text[], numbers bigint[],
                                  data bytea, before timestamptz, after timestamptz, moments timestamptz[], smalls smallint[], id uuid,
                                  ids uuid[], json jsonb, nothing text)"""
        )
    insert = PreparedStatement(
        f"insert into kept values ({', '.join(f'%({name})s' for name in values)})",
        {name: kind for name, (kind, *_) in values.items()},
    )
    assert await database.execute(insert, {name: packed for name, (_, packed, _) in values.items()}) == []
    async with database.connection() as connection:
        row = await (await connection.execute("select * from kept")).fetchone()
    assert row == tuple(meant for _, _, meant in values.values())


async def test_a_text_that_cant_be_kept_is_the_callers_fault() -> None:
    with pytest.raises(InvalidArgument):
        text("a\0b")
    with pytest.raises(InvalidArgument):
        texts(["a", "b\0"])


def test_a_statement_and_its_parameters_must_be_the_same() -> None:
    with pytest.raises(ValueError, match="one"):
        PreparedStatement("select %(one)s", {})
    with pytest.raises(ValueError, match="two"):
        PreparedStatement("select 1", {"two": Kind.TEXT})


async def _fail_in_a_transaction(connection: Connection) -> None:
    async with connection.transaction():
        raise ZeroDivisionError


async def test_many_execute_at_once_and_each_gets_its_own_answer(postgres_url: str) -> None:
    async with Database(postgres_url, min_size=2, max_size=4) as database:
        echoed = await asyncio.gather(*(_echo(database, number, seconds=0.01) for number in range(40)))
    assert echoed == [bigint(number) for number in range(40)]


async def test_who_waits_for_a_lock_delays_nobody_else(postgres_url: str) -> None:
    async with Database(postgres_url, min_size=3, max_size=3) as database:
        async with database.connection() as connection:
            await connection.execute("create table rows as select 1 as id")
        lock = PreparedStatement("update rows set id = %(id)s returning true", {"id": Kind.BIGINT})
        async with database.transaction() as holder:
            await holder.execute("update rows set id = 2")
            waiting = asyncio.create_task(database.execute(lock, {"id": bigint(3)}))
            for number in range(20):
                assert await _echo(database, number) == bigint(number)
            assert not waiting.done()
        assert await waiting == [(TRUE,)]


async def test_a_value_that_is_larger_than_any_buffer_of_a_socket_arrives(database: Database) -> None:
    statement = PreparedStatement("select length(%(data)s)::bigint, %(data)s", {"data": Kind.BYTEA})
    large = b"ab" * 8_000_000
    assert await database.execute(statement, {"data": large}) == [(bigint(len(large)), large)]


async def test_it_is_prepared_once_and_shares_the_connection_with_the_driver(database: Database) -> None:
    backend = await _backend(database)
    for _ in range(7):
        async with database.connection() as connection:
            await connection.execute("select %s::bigint", (1,))
        assert await _backend(database) == backend
    async with database.connection() as connection:
        assert await (await connection.execute(PREPARED)).fetchone() == (1,)


async def test_what_the_database_finds_wrong_is_raised_and_the_connection_stays(database: Database) -> None:
    before = await _backend(database)
    with pytest.raises(psycopg.errors.DivisionByZero):
        await database.execute(QUOTIENT, {"divisor": bigint(0)})
    assert await _backend(database) == before


async def test_a_statement_that_is_none_is_raised_and_the_connection_stays(database: Database) -> None:
    before = await _backend(database)
    for _ in range(2):
        with pytest.raises(psycopg.errors.SyntaxError):
            await database.execute(PreparedStatement("selekt 1", {}), {})
    assert await _backend(database) == before


async def test_a_violated_constraint_is_raised_as_the_driver_raises_it(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("create table parents (id bigint primary key)")
        await connection.execute("create table children (id bigint references parents)")
    values = {"id": bigint(1)}
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        await database.execute(
            PreparedStatement("insert into children values (%(id)s)", {"id": Kind.BIGINT}), values
        )
    insert = PreparedStatement("insert into parents values (%(id)s)", {"id": Kind.BIGINT})
    await database.execute(insert, values)
    with pytest.raises(psycopg.errors.UniqueViolation):
        await database.execute(insert, values)


async def test_a_rollback_costs_no_error(database: Database) -> None:
    """The driver drops all prepared statements then."""
    before = await _backend(database)
    async with database.connection() as connection:
        await connection.execute("select 1", prepare=True)
        with pytest.raises(ZeroDivisionError):
            await _fail_in_a_transaction(connection)
    async with database.connection() as connection:
        assert not connection.prepared
    async with database.engine.connect() as engine_connection:
        await engine_connection.execute(sql_text("select 1"))
    assert await _backend(database) == before


async def test_a_statement_that_somebody_deallocated_is_prepared_anew(database: Database) -> None:
    before = await _backend(database)
    async with database.connection() as connection:
        await connection.execute("deallocate all")
        assert connection.prepared
    assert await _backend(database) == before


async def test_a_statement_that_is_prepared_without_our_knowledge_is_executed(database: Database) -> None:
    before = await _backend(database)
    async with database.connection() as connection:
        connection.prepared.clear()
    assert await _backend(database) == before


async def test_a_cancelled_execution_is_cancelled_in_the_database(database: Database) -> None:
    before = await _backend(database)
    began = time.monotonic()
    for number in range(5):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_echo(database, 0, seconds=5), 0.03)
        assert await _echo(database, number) == bigint(number)
    assert time.monotonic() - began < 4
    assert await _backend(database) == before


async def test_whenever_it_is_cancelled_the_next_one_gets_its_own_answer(database: Database) -> None:
    for number in range(60):
        execution = asyncio.create_task(_echo(database, -1))
        for _ in range(number % 12):
            await asyncio.sleep(0)
        execution.cancel()
        await asyncio.wait([execution])
        assert await _echo(database, number) == bigint(number)


async def test_a_cancellation_of_the_cancellation_leaves_the_pool_a_connection(database: Database) -> None:
    for turns in range(12):
        execution = asyncio.create_task(_echo(database, -1, seconds=5))
        await asyncio.sleep(0.02)
        execution.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        execution.cancel()
        await asyncio.wait([execution])
        assert execution.cancelled()
        assert await _echo(database, turns) == bigint(turns)


async def test_a_connection_lost_while_an_answer_is_awaited_is_unavailable_and_replaced(
    database: Database,
) -> None:
    before = await _backend(database)
    suicide = PreparedStatement("select pg_terminate_backend(pg_backend_pid()), pg_sleep(5)", {})
    with pytest.raises(Unavailable):
        await database.execute(suicide, {})
    assert await _backend(database) != before


async def test_a_connection_that_was_lost_while_it_was_idle_is_replaced(
    database: Database, postgres_url: str
) -> None:
    before = await _backend(database)
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as other:
        await other.execute("select pg_terminate_backend(%s, 5000)", (before,))
    assert await _backend(database) != before


async def test_a_statement_that_takes_too_long_is_unavailable(postgres_url: str) -> None:
    async with Database(postgres_url, min_size=1, max_size=1, statement_seconds=1) as database:
        with pytest.raises(Unavailable):
            await _echo(database, 1, seconds=10)
        assert await _echo(database, 2) == bigint(2)


async def test_behind_a_pooler_nothing_is_prepared(postgres_url: str) -> None:
    direct = f"{postgres_url}&application_name=direct"
    async with Database(postgres_url, direct_url=direct, min_size=1, max_size=1) as database:
        for number in range(7):
            assert await _echo(database, number) == bigint(number)
        with pytest.raises(psycopg.errors.DivisionByZero):
            await database.execute(QUOTIENT, {"divisor": bigint(0)})
        async with database.connection() as connection:
            assert await (await connection.execute(PREPARED)).fetchone() == (0,)


async def test_nothing_is_watched_once_the_answer_is_there(database: Database) -> None:
    await _backend(database)
    async with database.connection() as connection:
        assert not asyncio.get_running_loop().remove_reader(connection.pgconn.socket)
