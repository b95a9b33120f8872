"""What calls have in common is kept as long as something of such a call is, or somebody may be about to store one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from services.analytics.model.figures import Dimension, Piece, Question
from services.analytics.stores import series
from services.analytics.stores.usage import SqlUsageStore
from services.infra.postgres.database import Database
from tests.fakes.analytics_events import DAY, event, midnight, yesterday
from tests.fakes.analytics_sql import usage_store
from tests.fakes.analytics_stores import is_answered_right

_ANCIENT = midnight(datetime.now(UTC)) - 1200 * DAY


async def _let_days_pass(database: Database, days: int) -> None:
    """Have all series be looked up that much earlier."""
    async with database.connection() as connection:
        await connection.execute(
            "update analytics.series set used_at = used_at - make_interval(days => %s)", (days,)
        )


async def _people(database: Database) -> list[str]:
    async with database.connection() as connection:
        cursor = await connection.execute(
            "select user_id from analytics.series where system_id is not null order by 1"
        )
        return [row[0] for row in await cursor.fetchall()]


async def _of_system(database: Database) -> list[str]:
    """The models of the series of the system."""
    async with database.connection() as connection:
        cursor = await connection.execute(
            "select model from analytics.series where system_id is null order by 1"
        )
        return [row[0] for row in await cursor.fetchall()]


async def _tidied(store: SqlUsageStore) -> None:
    """Tidied up until it has gone through all series once."""
    for _ in range(2):
        await store.tidy()


async def test_series_that_nothing_is_left_of_are_forgotten(migrated_url: str) -> None:
    async with Database(migrated_url) as database:
        store = usage_store(database)
        await store.record([event(_ANCIENT, user_id="ana"), event(user_id="ben"), event(_ANCIENT)])
        await _tidied(store)
        assert await _people(database) == ["", "ana", "ben"]
        await _let_days_pass(database, 8)
        await _tidied(store)
        assert await _people(database) == ["ben"]
        back = [event(user_id="ana"), event()]
        later = usage_store(database)
        assert await later.record(back) == 2
        await later.tidy()
        found = await later.sums(Question([Piece(yesterday(), yesterday(24), 0)], (Dimension.USER,)))
        assert {one.group[0]: one.events for one in found} == {"": 1, "ana": 1, "ben": 1}


async def test_the_series_of_the_system_do_not_grow_with_what_callers_name(migrated_url: str) -> None:
    async with Database(migrated_url) as database:
        store = usage_store(database)
        calls = [event(user_id=f"u{number % 3}", project=f"p{number}") for number in range(200)]
        await store.record(calls)
        await store.tidy()
        assert await _of_system(database) == ["echo"]
        async with database.connection() as connection:
            cursor = await connection.execute("select count(*) from analytics.system_days")
            assert await cursor.fetchall() == [(1,)]
        await store.rebuild(yesterday().date())
        for group_by in ((), (Dimension.PROJECT,)):
            pieces = [Piece(yesterday(), yesterday(24), 0)]
            await is_answered_right(store, calls, Question(pieces, group_by))


async def test_series_of_the_system_go_when_nobodys_call_belongs_to_them_any_more(migrated_url: str) -> None:
    async with Database(migrated_url) as database:
        store = usage_store(database)
        await store.record([event(_ANCIENT, user_id="ana", model="old"), event(user_id="ben", model="new")])
        await _tidied(store)
        await _let_days_pass(database, 8)
        await _tidied(store)
        # Its last call has been forgotten, and was its own until then.
        assert (await _people(database), await _of_system(database)) == (["ben"], ["new", "old"])
        await _tidied(store)
        assert await _of_system(database) == ["new"]
        back = usage_store(database)
        await back.record([event(user_id="ana", model="old")])
        for is_tidied in (False, True):
            if is_tidied:
                await back.tidy()
            found = await back.sums(Question([Piece(yesterday(), yesterday(24), 0)], (Dimension.MODEL,)))
            assert {one.group[0]: one.events for one in found} == {"new": 1, "old": 1}


async def test_series_that_were_looked_up_lately_are_not_forgotten(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "_KNOWN_SECONDS", 0)
    async with Database(migrated_url) as database:
        store = usage_store(database)
        for _ in range(3):
            await store.record([event(_ANCIENT, user_id="ana")])
            await _let_days_pass(database, 6)
            await _tidied(store)
            assert await _people(database) == ["ana"]
        await _let_days_pass(database, 2)
        await _tidied(store)
        assert await _people(database) == []


@pytest.mark.parametrize("is_folded", [False, True])
async def test_series_of_calls_that_are_kept_are_kept(migrated_url: str, is_folded: bool) -> None:
    async with Database(migrated_url) as database:
        store, calls = usage_store(database), [event(user_id=f"u{number}") for number in range(3)]
        await store.record(calls)
        if is_folded:
            await store.tidy()
        await _let_days_pass(database, 5000)
        async with database.connection() as connection:
            await connection.execute("delete from analytics.events")
        await _tidied(store)
        for group_by in ((), (Dimension.USER,)):
            await is_answered_right(store, calls, Question([Piece(yesterday(), yesterday(24), 0)], group_by))


@pytest.mark.parametrize("only_the_systems_are_left", [False, True])
async def test_series_that_are_looked_up_again_just_when_they_are_forgotten_are_there(
    migrated_url: str, monkeypatch: pytest.MonkeyPatch, only_the_systems_are_left: bool
) -> None:
    # Nothing is remembered, as if a day had passed.
    monkeypatch.setattr(series, "_KNOWN_SECONDS", 0)
    async with Database(migrated_url) as one, Database(migrated_url) as other:
        stores = [usage_store(one), usage_store(other)]
        calls = []
        for turn in range(6):
            await stores[0].record(
                [event(_ANCIENT, user_id=f"u{number}", model=f"m{number} {turn}") for number in range(30)]
            )
            await stores[0].tidy()
            await _let_days_pass(one, 8)
            if only_the_systems_are_left:
                await _tidied(stores[0])
            new = [
                event(user_id=f"u{number}", model=f"m{number} {turn}", latency=turn)
                for number in range(turn, 30, 2)
            ]
            await asyncio.gather(_tidied(stores[0]), stores[1].record(new), stores[1].tidy())
            calls += new
        for group_by in ((Dimension.USER,), (Dimension.MODEL,)):
            question = Question([Piece(yesterday(), yesterday(24), 0)], group_by)
            await is_answered_right(stores[0], calls, question)
