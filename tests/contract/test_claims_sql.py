"""Claims on PostgreSQL."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.capabilities.claims.model import Claim, body_digest
from services.capabilities.claims.sql import SqlClaims, ddl
from services.infra.postgres.database import Connection, Database
from services.kernel.errors import AlreadyExists
from services.kernel.ids import new_id


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    async with Database(postgres_url, min_size=1, max_size=4) as database:
        async with database.connection() as connection:
            await connection.execute("create schema place")
            for statement in ddl("place"):
                await connection.execute(statement.encode())
        yield database


def claim(body: str = "body", caller: str = "caller", request_id: str = "") -> Claim:
    return Claim(caller, request_id or str(uuid.uuid4()), hashlib.sha256(body.encode()).digest())


async def test_the_first_taker_holds_the_claim(database: Database) -> None:
    claims, held = SqlClaims("place"), claim()
    first, second = new_id(), new_id()
    async with database.transaction() as connection:
        assert await claims.take(connection, held, first) == first
        assert await claims.take(connection, held, second) == first
    async with database.transaction() as connection:
        assert await claims.take(connection, held, second) == first
        other_caller = claim(caller="another", request_id=held.request_id)
        assert await claims.take(connection, other_caller, second) == second


async def test_another_body_is_refused_and_named(database: Database) -> None:
    claims, held = SqlClaims("place"), claim()
    async with database.transaction() as connection:
        await claims.take(connection, held, new_id())
        with pytest.raises(AlreadyExists) as refused:
            await claims.take(connection, claim("another", request_id=held.request_id.upper()), new_id())
    assert refused.value.reason == "REQUEST_ID_REUSED"
    assert refused.value.metadata == {"request_id": held.request_id}


async def test_a_freed_claim_can_be_taken_anew_with_any_body(database: Database) -> None:
    claims, held = SqlClaims("place"), claim()
    first, second = new_id(), new_id()
    async with database.transaction() as connection:
        await claims.take(connection, held, first)
        await claims.free(connection, held, second)
        assert await claims.take(connection, held, second) == first
        await claims.free(connection, held, first)
        assert await claims.take(connection, claim("another", request_id=held.request_id), second) == second


async def test_whoever_comes_second_waits_for_the_first_to_end(database: Database) -> None:
    claims, held = SqlClaims("place"), claim()
    first, second = new_id(), new_id()

    async def take_second() -> str:
        async with database.transaction() as connection:
            return await claims.take(connection, held, second)

    async with database.connection() as connection, database.connection() as observer:
        await connection.execute("begin")
        assert await claims.take(connection, held, first) == first
        waiting = asyncio.create_task(take_second())
        await until_somebody_waits(observer)
        # The provider refused, say.
        await connection.execute("rollback")
        assert await waiting == second


async def until_somebody_waits(connection: Connection) -> None:
    statement = """
        select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'
    """
    for _ in range(1000):
        cursor = await connection.execute(statement)
        if (await cursor.fetchone()) != (0,):
            return
        await asyncio.sleep(0.01)
    pytest.fail("nobody waits")


async def test_twenty_takers_at_once_agree_on_one(database: Database) -> None:
    claims, held = SqlClaims("place"), claim()

    async def take() -> str:
        async with database.transaction() as connection:
            return await claims.take(connection, held, new_id())

    assert len(set(await asyncio.gather(*(take() for _ in range(20))))) == 1


async def test_old_claims_are_forgotten(database: Database) -> None:
    claims, old, young = SqlClaims("place"), claim(), claim()
    async with database.connection() as connection:
        kept, again = new_id(), new_id()
        await claims.take(connection, old, new_id())
        await claims.take(connection, young, kept)
        await connection.execute(
            "update place.claims set created_at = now() - interval '8 days' where request_id = %s",
            (old.request_id,),
        )
        assert await claims.prune(connection, timedelta(days=7)) == 1
        assert await claims.prune(connection, timedelta(days=7)) == 0
        assert await claims.take(connection, old, again) == again
        assert await claims.take(connection, young, new_id()) == kept


def test_a_claim_cannot_be_built_wrong() -> None:
    digest = body_digest(b"k" * 32, b"body")
    assert len(digest) == 32
    assert digest != body_digest(b"l" * 32, b"body")
    for caller, request_id, body in (
        ("", new_id(), digest),
        ("a", "no uuid", digest),
        ("a", new_id(), b"short"),
    ):
        with pytest.raises(ValueError):
            Claim(caller, request_id, body)
    with pytest.raises(ValueError):
        SqlClaims("auth; drop schema auth")
