"""What batches counted is folded into the figures, whoever does it and whatever happens meanwhile, and no figure changes by it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from services.analytics.model.events import RecordedEvent
from services.analytics.model.figures import Dimension, Filter, Piece, Question
from services.analytics.stores.layout import FIGURE_TABLES
from services.infra.postgres.database import Database
from tests.fakes.analytics_events import DAY, event, midnight, yesterday
from tests.fakes.analytics_sql import sql_store, usage_store
from tests.fakes.analytics_stores import is_answered_right

_DAY = [Piece(yesterday(), yesterday(24), 0)]
_QUESTIONS = (
    Question(_DAY, (Dimension.MODEL, Dimension.STATUS)),
    Question(_DAY, (Dimension.USER,)),
    Question([Piece(yesterday(hour), yesterday(hour + 1), hour) for hour in range(24)]),
    Question(_DAY, (Dimension.USER,), limit=2),
    Question(_DAY, (), Filter({Dimension.USER: ("u1", "u3")})),
)


def _calls(count: int, first: int = 0) -> list[RecordedEvent]:
    """Calls all over yesterday, of some people, models and durations."""
    return [
        event(
            yesterday(number * 7.13 % 24),
            user_id=f"u{number % 5}",
            model=f"m{number % 3}",
            latency=1 + 997 * (number % 89) ** 3,
        )
        for number in range(first, first + count)
    ]


async def _rows(database: Database, table: str) -> int:
    async with database.connection() as connection:
        cursor = await connection.execute(f"select count(*) from analytics.{table}".encode())
        (row,) = await cursor.fetchall()
        return int(row[0])


async def test_folded_figures_have_a_row_for_each_interval(migrated_url: str) -> None:
    async with Database(migrated_url) as database:
        store = usage_store(database)
        same = [event(yesterday(12), user_id="u1", latency=10 + number) for number in range(300)]
        for begin in range(0, 300, 50):
            await store.record(same[begin : begin + 50])
            await store.tidy()
        assert {table: await _rows(database, table) for table in FIGURE_TABLES} == dict.fromkeys(
            FIGURE_TABLES, 1
        )
        assert await _rows(database, "unfolded") == 0
        await is_answered_right(store, same, Question(_DAY))
        await is_answered_right(store, same, Question(_DAY, (Dimension.USER,)))


async def test_folding_while_batches_come_loses_and_doubles_nothing(migrated_url: str) -> None:
    async with Database(migrated_url) as one, Database(migrated_url) as other:
        stores = [usage_store(one), usage_store(other)]
        calls = _calls(800)

        async def record(part: int) -> None:
            for begin in range(part * 100, part * 100 + 100, 25):
                await stores[part % 2].record(calls[begin : begin + 25])

        async def tidy(number: int) -> None:
            for _ in range(4):
                await stores[number % 2].tidy()

        await asyncio.gather(*map(record, range(8)), *map(tidy, range(4)))
        for question in _QUESTIONS:
            await is_answered_right(stores[0], calls, question)
        await stores[1].tidy()
        for question in _QUESTIONS:
            await is_answered_right(stores[1], calls, question)


async def test_a_process_with_much_to_fold_asks_to_be_tidied(migrated_url: str) -> None:
    async with Database(migrated_url) as database:
        store = usage_store(database)
        many = [event(yesterday(number % 1440 / 60), user_id=f"u{number % 977}") for number in range(10_100)]
        untidy = asyncio.create_task(store.untidy())
        await store.record(many[:10])
        assert not untidy.done()
        await store.record(many[10:10_010])
        async with asyncio.timeout(5):
            await untidy
        await store.tidy()
        assert await _rows(database, "unfolded") == 0


async def test_a_fold_that_fails_keeps_no_batch_from_being_recorded(migrated_url: str) -> None:
    async with Database(migrated_url) as database:
        store = usage_store(database)
        async with database.connection() as connection:
            await connection.execute(b"alter table analytics.user_days add check (events < 0) not valid")
        many = [event(yesterday(number % 1440 / 60), user_id=f"u{number % 977}") for number in range(10_100)]
        assert await store.record(many[:10_000]) == 10_000
        with pytest.raises(psycopg.Error):
            await store.tidy()
        assert await store.record(many) == 100


async def test_a_fold_that_is_broken_off_changes_nothing(migrated_url: str) -> None:
    async with Database(migrated_url) as database:
        store, calls = usage_store(database), _calls(200)
        await store.record(calls)
        async with await psycopg.AsyncConnection.connect(migrated_url) as blocker:
            # The fold stops before its end, and is cancelled there.
            await blocker.execute("lock table analytics.user_days in share mode")
            folding = asyncio.create_task(store.tidy())
            async with asyncio.timeout(20):
                while not await _waits(database):  # noqa: ASYNC110 - a lock tells nobody that it is waited for.
                    await asyncio.sleep(0.01)
            folding.cancel()
            await asyncio.wait([folding])
            assert folding.cancelled()
        for question in _QUESTIONS:
            await is_answered_right(store, calls, question)
        await store.tidy()
        for question in _QUESTIONS:
            await is_answered_right(store, calls, question)


async def _waits(database: Database) -> bool:
    async with database.connection() as connection:
        cursor = await connection.execute("select exists (select from pg_locks where not granted)")
        (row,) = await cursor.fetchall()
        return bool(row[0])


async def test_whole_intervals_are_told_without_their_events(migrated_url: str) -> None:
    async with Database(migrated_url) as database:
        store, calls = usage_store(database), _calls(300)
        await store.record(calls[:200])
        await store.tidy()
        await store.record(calls[200:])
        async with database.connection() as connection:
            await connection.execute("delete from analytics.events")
        minutes = [
            Piece(yesterday(minute / 60), yesterday((minute + 1) / 60), minute) for minute in range(600, 780)
        ]
        for question in (*_QUESTIONS, Question(minutes)):
            await is_answered_right(store, calls, question)


async def test_figures_are_forgotten_when_they_are_too_old(migrated_url: str) -> None:
    async with sql_store(migrated_url) as stores:
        store = stores.usage
        ancient = midnight(datetime.now(UTC)) - 1200 * DAY
        await store.record([event(ancient, user_id="u1"), event(user_id="u2")])
        await store.tidy()
        for group_by, limit in ((), None), ((Dimension.USER,), None), ((Dimension.USER,), 5):
            question = Question([Piece(ancient - DAY, yesterday(24), 0)], group_by, limit=limit)
            assert [one.events for one in await store.sums(question)] == [1]
            assert await store.user_count(question) == 1


async def test_minutes_are_exact_after_their_figures_are_forgotten(migrated_url: str) -> None:
    async with Database(migrated_url) as database:
        store = usage_store(database)
        noon = yesterday(12) - 5 * DAY
        calls = [event(noon + timedelta(seconds=10 * number)) for number in range(30)]
        await store.record(calls)
        await store.tidy()
        assert await _rows(database, "system_minutes") == 0
        minutes = [Piece(noon + timedelta(minutes=n), noon + timedelta(minutes=n + 1), n) for n in range(6)]
        await is_answered_right(store, calls, Question(minutes))
