"""What a database can't keep, told to whoever wrote it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio
import sqlalchemy as sa
from psycopg.types.json import Jsonb

from services.infra.postgres.database import Database
from services.infra.postgres.failures import translated
from services.kernel.errors import InvalidArgument


@pytest_asyncio.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    async with Database(postgres_url, min_size=1, max_size=2) as made:
        yield made


@pytest.mark.parametrize(
    "value", ["a\0b", ["fine", "\0"], Jsonb({"text": "a\0b"})], ids=["text", "texts", "JSON"]
)
async def test_a_nul_character_is_the_callers_mistake(database: Database, value: object) -> None:
    with pytest.raises(InvalidArgument, match="NUL"):
        async with database.connection() as connection:
            await connection.execute("select %s", (value,))
    async with database.connection() as connection:
        cursor = await connection.execute("select 1")
        assert await cursor.fetchone() == (1,)


async def test_so_it_is_through_sqlalchemy(database: Database) -> None:
    with pytest.raises(InvalidArgument, match="NUL"), translated():
        async with database.engine.begin() as connection:
            await connection.execute(sa.text("select :value"), {"value": "a\0b"})


async def test_other_values_that_do_not_fit_are_a_defect(database: Database) -> None:
    with pytest.raises(psycopg.DataError):
        async with database.connection() as connection:
            await connection.execute("select %s::int", ("one",))
