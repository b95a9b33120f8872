"""A statement with a connection of its own."""

import asyncio
import struct
from collections.abc import AsyncIterator

import psycopg
import pytest

from services.infra.postgres.binary import bigint, bigints, byteas, uuids
from services.infra.postgres.database import Database
from services.infra.postgres.dedicated import DedicatedStatement
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id

NO_SETTINGS = "select"


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    async with Database(postgres_url, min_size=1, statement_seconds=10) as opened:
        yield opened


async def test_values_go_out_and_come_back_in_binary_form(database: Database) -> None:
    statement = database.dedicated(
        "select * from unnest($1::uuid[], $2::bigint[], $3::bytea[]) as t (id, number, data)", NO_SETTINGS
    )
    ids = [bytes.fromhex(new_id().replace("-", "")) for _ in range(3)]
    rows = await statement.execute(
        [uuids(ids), bigints([1, -2, 2**62]), byteas([b"", b"\0\xff", b"x" * 70_000])]
    )
    assert rows == [
        (ids[0], bigint(1), b""),
        (ids[1], bigint(-2), b"\0\xff"),
        (ids[2], bigint(2**62), b"x" * 70_000),
    ]


async def test_empty_arrays_and_null_are_values(database: Database) -> None:
    statement = database.dedicated(
        "select cardinality($1::uuid[])::bigint + cardinality($2::bigint[]), $3::bytea", NO_SETTINGS
    )
    assert await statement.execute([uuids([]), bigints([]), None]) == [(bigint(0), None)]


async def test_a_value_that_is_larger_than_any_buffer_of_a_socket_arrives(database: Database) -> None:
    statement = database.dedicated("select length($1::bytea)::bigint, $1::bytea", NO_SETTINGS)
    large = b"ab" * 8_000_000
    assert await statement.execute([large]) == [(bigint(len(large)), large)]


async def test_executions_take_turns(database: Database) -> None:
    statement = database.dedicated("select $1::bigint from pg_sleep(0.01)", NO_SETTINGS)
    rows = await asyncio.gather(*(statement.execute([bigint(number)]) for number in range(8)))
    assert rows == [[(bigint(number),)] for number in range(8)]


async def test_what_the_database_finds_wrong_is_raised_and_the_connection_stays(database: Database) -> None:
    statement = database.dedicated("select 1 / $1::bigint, pg_backend_pid()", NO_SETTINGS)
    before = await _backend(statement)
    with pytest.raises(psycopg.errors.DivisionByZero):
        await statement.execute([bigint(0)])
    assert await _backend(statement) == before


async def test_a_statement_that_is_none_is_raised_at_the_first_use(database: Database) -> None:
    with pytest.raises(psycopg.errors.SyntaxError):
        await database.dedicated("selekt 1", NO_SETTINGS).execute([])


async def test_a_lost_connection_is_unavailable_once_and_then_replaced(database: Database) -> None:
    statement = database.dedicated("select 1 / $1::bigint, pg_backend_pid()", NO_SETTINGS)
    before = await _backend(statement)
    async with database.connection() as other:
        await other.execute("select pg_terminate_backend(%s, 5000)", (before,))
    # Whether the farewell was seen before the next execution is a matter of time.
    try:
        after = await _backend(statement)
    except Unavailable:
        after = await _backend(statement)
    assert after != before


async def test_a_connection_lost_while_an_answer_is_awaited_is_unavailable(database: Database) -> None:
    statement = database.dedicated("select pg_terminate_backend(pg_backend_pid()), pg_sleep(5)", NO_SETTINGS)
    with pytest.raises(Unavailable):
        await statement.execute([])


async def test_a_cancelled_execution_leaves_the_next_one_its_own_answer(database: Database) -> None:
    statement = database.dedicated(
        "select $1::bigint from pg_sleep(case when $1::bigint = 0 then 5 else 0 end)", NO_SETTINGS
    )
    await statement.execute([bigint(1)])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(statement.execute([bigint(0)]), 0.05)
    assert await statement.execute([bigint(2)]) == [(bigint(2),)]


async def test_an_execution_that_takes_too_long_is_unavailable(postgres_url: str) -> None:
    async with Database(postgres_url, min_size=1, statement_seconds=1) as database:
        with pytest.raises(Unavailable):
            await database.dedicated("select pg_sleep(10)", NO_SETTINGS).execute([])


async def test_it_is_closed_with_its_database_and_may_be_closed_twice(postgres_url: str) -> None:
    async with Database(postgres_url, min_size=1) as database:
        statement = database.dedicated("select 1::bigint", NO_SETTINGS)
        await statement.execute([])
        await statement.close()
        await statement.close()
        assert await statement.execute([]) == [(bigint(1),)]


async def _backend(statement: DedicatedStatement) -> int:
    ((_, pid),) = await statement.execute([bigint(1)])
    assert pid is not None
    (number,) = struct.unpack("!i", pid)
    return int(number)
