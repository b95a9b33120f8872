"""Events lie in a partition a month, made when it is needed and dropped when all in it is too old; what they added up to stays."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from services.analytics.model.figures import Filter, Piece, Question
from services.analytics.stores.months import after, month_of
from services.infra.postgres.database import Database
from tests.fakes.analytics_events import DAY, event, midnight
from tests.fakes.analytics_sql import usage_store
from tests.fakes.analytics_stores import is_answered_right

_LONG_AGO = 150 * DAY


def _now() -> datetime:
    return datetime.now(UTC)


def _old() -> datetime:
    return midnight(_now()) - _LONG_AGO + timedelta(hours=10, minutes=7)


async def _months(database: Database) -> set[str]:
    async with database.connection() as connection:
        cursor = await connection.execute(
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'analytics.events'::regclass"
        )
        return {row[0].removeprefix("analytics.events_") for row in await cursor.fetchall()}


def _name(month: datetime) -> str:
    return f"{month:%Y_%m}"


async def test_months_to_come_are_there_before_their_events(migrated_url: str) -> None:
    async with Database(migrated_url) as database:
        await usage_store(database).tidy()
        this = month_of(_now())
        assert {_name(this), _name(after(this)), _name(after(after(this)))} >= await _months(database)
        assert {_name(this), _name(after(this))} <= await _months(database)


async def test_a_late_event_has_its_month_made(migrated_url: str) -> None:
    async with Database(migrated_url) as database:
        store = usage_store(database)
        spread = [event(_old()), event(_old() + 40 * DAY), event(_now())]
        assert await store.record(spread) == 3
        assert {_name(month_of(_old())), _name(month_of(_now()))} <= await _months(database)
        assert [one.event_id for one in await store.events(_old(), _now() + DAY, Filter(), "", 9)] == [
            one.event_id for one in spread
        ]


async def test_processes_that_need_a_month_at_once_make_it_once(migrated_url: str) -> None:
    async with Database(migrated_url) as one, Database(migrated_url) as other:
        stores = [usage_store(database) for database in (one, other) for _ in range(4)]
        new = await asyncio.gather(*(store.record([event(_old())]) for store in stores))
        assert new == [1] * 8


async def test_months_that_are_too_old_go_and_their_figures_stay(migrated_url: str) -> None:
    async with Database(migrated_url) as database:
        store, first, last = usage_store(database), event(_old()), event(_now() - DAY)
        await store.record([first, last])
        await asyncio.gather(*(usage_store(database).tidy() for _ in range(3)))
        await store.tidy()
        assert _name(month_of(_old())) not in await _months(database)
        assert list(await store.events(_old() - DAY, _now(), Filter(), "", 9)) == [last]
        quarter = midnight(_old()) + timedelta(hours=10)
        for piece in (
            Piece(quarter, quarter + timedelta(minutes=15), 0),
            Piece(quarter + timedelta(minutes=14), _now(), 0),
        ):
            told = piece._replace(start=quarter)
            await is_answered_right(store, [first, last], Question([told]))
            assert sorted(await store.sums(Question([piece]))) == sorted(await store.sums(Question([told])))


async def test_events_that_are_gone_are_not_looked_for_when_the_setting_grows(migrated_url: str) -> None:
    async with Database(migrated_url) as database:
        await usage_store(database).record([event(_old())])
        await usage_store(database).tidy()
        longer = usage_store(database, timedelta(days=365))
        assert not await longer.rebuild(_old().date())
        piece = Piece(_old() + timedelta(minutes=2), midnight(_old()) + DAY, 0)
        assert [one.events for one in await longer.sums(Question([piece]))] == [1]


async def test_a_month_that_another_process_dropped_is_made_again(migrated_url: str) -> None:
    async with Database(migrated_url) as database:
        store = usage_store(database)
        await store.record([event(_old())])
        await usage_store(database).tidy()
        assert await store.record([event(_old())]) == 1
        assert [one.events for one in await store.sums(Question([Piece(_old() - DAY, _now(), 0)]))] == [2]


@pytest.mark.long
async def test_a_month_in_use_is_dropped_another_time(migrated_url: str) -> None:
    async with Database(migrated_url) as database:
        store = usage_store(database)
        await store.record([event(_old())])
        async with await psycopg.AsyncConnection.connect(migrated_url) as reader:
            await reader.execute("select count(*) from analytics.events")
            await store.tidy()
            assert _name(month_of(_old())) in await _months(database)
        await store.tidy()
        assert _name(month_of(_old())) not in await _months(database)
