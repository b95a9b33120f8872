"""Rows of callers say who called most, whatever else goes on, and the figures of people need not be read for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import psycopg
import pytest

from services.analytics.model.events import RecordedEvent
from services.analytics.model.figures import Dimension, Filter, Piece, Question
from services.analytics.stores import questions
from services.analytics.stores.deletions import SqlAnalyticsDeletions
from services.analytics.stores.layout import USER_TABLES
from services.infra.postgres.database import Database
from services.kernel.ids import new_id
from tests.fakes.analytics_events import event, yesterday
from tests.fakes.analytics_sql import usage_store
from tests.fakes.analytics_stores import is_answered_right
from tests.fakes.served_suite import until

_LEADERS = Question([Piece(yesterday(), yesterday(24), 0)], (Dimension.USER,), limit=3)


def _calls(users: int, each: int) -> list[RecordedEvent]:
    return [
        event(yesterday((7 * number + user) % 24), user_id=f"u{user}", model=f"m{number % 3}")
        for user in range(users)
        for number in range(each)
    ]


async def test_of_people_with_equally_many_calls_the_first_by_name_are_told(migrated_url: str) -> None:
    async with Database(migrated_url) as database:
        store, calls = usage_store(database), [*_calls(9, 4), *(event(user_id="u8") for _ in range(2))]
        await store.record(calls[::-1])
        for _ in range(2):
            found = {one.group[0] for one in await store.sums(_LEADERS)}
            assert found == {"u8", "u0", "u1"}
            await store.tidy()


async def test_leaders_with_many_series_are_told_alike(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Database(migrated_url) as database:
        store, calls = usage_store(database), _calls(6, 10)
        await store.record(calls)
        monkeypatch.setattr(questions, "_FEW_SERIES", 3)
        await is_answered_right(store, calls, _LEADERS)
        await store.tidy()
        await is_answered_right(store, calls, _LEADERS)


async def test_people_are_counted_without_their_figures(migrated_url: str) -> None:
    async with Database(migrated_url) as database:
        store = usage_store(database)
        await store.record(_calls(5, 2))
        await store.tidy()
        await store.record([event(user_id="u7", service_type=2)])
        async with database.connection() as connection:
            for table in (*USER_TABLES.values(), "events"):
                await connection.execute(f"delete from analytics.{table}".encode())
        assert await store.user_count(_LEADERS) == 6
        of_service = Filter({Dimension.SERVICE_TYPE: (1,)})
        assert await store.user_count(replace(_LEADERS, filter=of_service)) == 5


async def test_a_person_who_is_deleted_in_the_middle_of_a_fold_is_nobody(migrated_url: str) -> None:
    async with Database(migrated_url) as one, Database(migrated_url) as other:
        store, ana = usage_store(one), new_id()
        await store.record([event(user_id="ben")])
        await store.tidy()
        await store.record([event(user_id="ben"), event(user_id=ana)])
        async with await psycopg.AsyncConnection.connect(migrated_url) as blocker:
            # The fold has looked whose calls they are, and stops where it adds to Ben's figures.
            await blocker.execute("select from analytics.user_days for update")
            folding = asyncio.create_task(store.tidy())
            await until(lambda: _waiting(other, 1))
            removing = asyncio.create_task(SqlAnalyticsDeletions(other).remove(ana))
            await until(lambda: _waiting(other, 2, removing))
        await asyncio.gather(folding, removing)
        assert {one.group[0]: one.events for one in await store.sums(_LEADERS)} == {"": 1, "ben": 2}
        assert await store.user_count(_LEADERS) == 1


async def _waiting(database: Database, count: int, unless: asyncio.Task[bool] | None = None) -> bool:
    """Whether so many wait for a lock, or the task is done without."""
    async with database.connection() as connection:
        cursor = await connection.execute(
            "select count(*) >= %s from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
            (count,),
        )
        (row,) = await cursor.fetchall()
    return bool(row[0]) or (unless is not None and unless.done())


async def test_people_who_are_deleted_while_their_calls_are_folded_are_nobody(migrated_url: str) -> None:
    async with Database(migrated_url) as one, Database(migrated_url) as other:
        stores = [usage_store(one), usage_store(other)]
        people = [new_id() for _ in range(6)]
        calls = _calls(4, 12)
        theirs = [event(yesterday(number % 24), user_id=people[number % 6]) for number in range(180)]

        async def record(part: int) -> None:
            for begin in range(part * 45, part * 45 + 45, 9):
                await stores[part % 2].record(theirs[begin : begin + 9])

        async def tidy(number: int) -> None:
            for _ in range(5):
                await stores[number % 2].tidy()

        async def remove(number: int) -> None:
            deletions = SqlAnalyticsDeletions((one, other)[number % 2])
            for user_id in people[number::2]:
                assert await deletions.remove(user_id)

        await stores[0].record(calls)
        await asyncio.gather(
            *map(record, range(4)),
            *map(tidy, range(2)),
            *map(remove, range(2)),
            stores[0].rebuild(yesterday().date()),
        )
        # What a process was about to store when somebody was deleted becomes nobody's the next time.
        await asyncio.gather(*map(remove, range(2)))
        left = calls + [call._replace(series=call.series._replace(user_id="")) for call in theirs]
        for store in stores:
            await is_answered_right(store, left, _LEADERS)
            await store.tidy()
        await is_answered_right(stores[0], left, _LEADERS)
