"""Counting in PostgreSQL, beyond what every place that counts promises: replicas, failures, the table."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import AsyncExitStack

import psycopg
import pytest

from services.capabilities.limits.stores.sql import SqlCounters
from services.infra.postgres.database import Database
from services.kernel.errors import Unavailable
from tests.fakes.limit_places import (
    WINDOW,
    Clock,
    StillClock,
    counting,
    in_postgres,
    let_in,
    migrated,
    take_many,
)


async def test_two_replicas_let_in_exactly_the_limit_together(postgres_url: str) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(migrated(postgres_url))
        replicas = [await stack.enter_async_context(counting(postgres_url)) for _ in range(2)]
        for one in replicas:
            await one.warm()
        callers = [f"caller {number}" for number in range(40)]

        async def hammer(counters: SqlCounters, seed: int) -> dict[str, int]:
            ours = dict.fromkeys(callers, 0)
            # Both meet the same rows in different orders, which is how statements lock one another out.
            asks = [caller for caller in callers for _ in range(15)]
            random.Random(seed).shuffle(asks)

            async def ask(caller: str) -> None:
                count = await counters.take("chat", caller, 10)
                ours[caller] += count.allowed

            for start in range(0, len(asks), 50):
                await asyncio.gather(*(ask(caller) for caller in asks[start : start + 50]))
            return ours

        first, second = await asyncio.gather(*(hammer(one, seed) for seed, one in enumerate(replicas)))
        assert {first[caller] + second[caller] for caller in callers} == {10}


async def test_a_caller_at_its_limit_is_refused_without_asking_the_database(postgres_url: str) -> None:
    async with migrated(postgres_url) as database, counting(postgres_url) as counters:
        assert let_in(await take_many(counters, 3, 2)) == 2
        async with database.connection() as connection:
            await connection.execute("drop table place.limits")
        refused = await counters.take("chat", "ana", 2)
        assert not refused.allowed
        assert 50 < refused.reset_after <= WINDOW


@pytest.mark.parametrize("seconds", [3600, 50, 30])
async def test_a_clock_that_was_set_back_shuts_nobody_out(postgres_url: str, seconds: float) -> None:
    async with migrated(postgres_url) as database, counting(postgres_url) as counters:
        await take_many(counters, 1, 2)
        async with database.connection() as connection:
            await connection.execute(
                "update place.limits set began_at = began_at + make_interval(secs => %s), used = 2",
                (seconds,),
            )
        count = await counters.take("chat", "ana", 2)
        assert count.allowed
        assert count.reset_after <= WINDOW


async def test_a_table_of_any_size_is_pruned_in_steps(postgres_url: str) -> None:
    async with (
        in_postgres(postgres_url) as place,
        await psycopg.AsyncConnection.connect(postgres_url) as other,
    ):
        await other.execute(
            "insert into place.limits select 'chat', n::text, now() - interval '1 hour', 1 from generate_series(1, 2500) n"
        )
        await other.commit()
        assert [await place.counters.prune() for _ in range(4)] == [1000, 1000, 500, 0]


async def test_rows_that_somebody_else_is_at_are_passed_over_by_pruning(postgres_url: str) -> None:
    async with (
        in_postgres(postgres_url) as place,
        await psycopg.AsyncConnection.connect(postgres_url) as other,
    ):
        for caller in ("ana", "ben"):
            await place.counters.take("chat", caller, 1)
        await place.pass_seconds(WINDOW + 1)
        await other.execute("select from place.limits where caller = 'ana' for update")
        assert await place.counters.prune() == 1


def unreachable() -> Database:
    return Database("postgresql://nobody:secret@127.0.0.1:1/nothing")


async def test_while_the_database_is_away_nobody_waits_and_one_line_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = StillClock()
    counters = SqlCounters(unreachable(), "place", clock=clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            with pytest.raises(Unavailable) as caught:
                await counters.take("chat", "ana", 1)
            assert caught.value.retry_after == 1.0
            clock.ahead += 2
        await counters.aclose()
    assert [record.message for record in caplog.records] == ["calls can't be counted"]
    assert "secret" not in caplog.text
    with pytest.raises(Unavailable):
        await counters.take("chat", "ana", 1)


async def test_a_row_that_somebody_holds_is_not_waited_for_for_long(postgres_url: str) -> None:
    clock = Clock()
    async with (
        migrated(postgres_url) as database,
        await psycopg.AsyncConnection.connect(postgres_url) as other,
    ):
        counters = SqlCounters(database, "place", window=WINDOW, answer_seconds=0.3, clock=clock)
        while True:
            # The first statement makes the connection, which may take longer than that.
            try:
                assert (await counters.take("chat", "ana", 9)).allowed
                break
            except Unavailable:
                clock.ahead += 2
        await other.execute("select from place.limits where caller = 'ana' for update")
        asked = [asyncio.ensure_future(counters.take("chat", caller, 9)) for caller in ("ana", "ben")]
        for one in asked:
            with pytest.raises(Unavailable):
                await one
        await other.rollback()
        # For a moment it is not asked again, and then it is.
        with pytest.raises(Unavailable):
            await counters.take("chat", "ana", 9)
        clock.ahead += 2
        async with asyncio.timeout(20):
            while True:
                try:
                    assert (await counters.take("chat", "ana", 9)).allowed
                    break
                except Unavailable:
                    clock.ahead += 2
        await counters.aclose()


async def test_while_one_call_asks_whether_the_database_is_back_the_others_do_not_wait(
    postgres_url: str,
) -> None:
    clock = StillClock()
    async with (
        migrated(postgres_url) as database,
        await psycopg.AsyncConnection.connect(postgres_url) as other,
    ):
        counters = SqlCounters(database, "place", window=WINDOW, answer_seconds=20, clock=clock)
        await other.execute("alter table place.limits rename to elsewhere")
        await other.commit()
        with pytest.raises(Unavailable):
            await counters.take("chat", "ana", 9)
        await other.execute("alter table place.elsewhere rename to limits")
        await other.commit()
        # From here on it answers to nobody, and says so to nobody either.
        await other.execute("lock table place.limits")
        clock.ahead += 2
        asking = asyncio.ensure_future(counters.take("chat", "ana", 9))
        await asyncio.sleep(0)
        for caller in ("ana", "ben", "cid"):
            async with asyncio.timeout(5):
                with pytest.raises(Unavailable):
                    await counters.take("chat", caller, 9)
        assert not asking.done()
        await other.rollback()
        assert (await asking).allowed
        assert (await counters.take("chat", "ben", 9)).allowed
        await counters.aclose()


async def test_who_waits_when_it_is_closed_is_told(postgres_url: str) -> None:
    async with (
        migrated(postgres_url) as database,
        counting(postgres_url) as counters,
        await psycopg.AsyncConnection.connect(postgres_url) as other,
    ):
        assert (await counters.take("chat", "ana", 9)).allowed
        await other.execute("select from place.limits for update")
        asked = asyncio.ensure_future(counters.take("chat", "ana", 9))
        async with database.connection() as connection:
            async with asyncio.timeout(20):
                while True:
                    cursor = await connection.execute("select 1 from pg_locks where not granted")
                    if await cursor.fetchone():
                        break
        later = asyncio.ensure_future(counters.take("chat", "ben", 9))
        await asyncio.sleep(0)
        await counters.aclose()
        for one in (asked, later):
            with pytest.raises(Unavailable):
                await one


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="schema"):
        SqlCounters(unreachable(), "a; drop table b")
