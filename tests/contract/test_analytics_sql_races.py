"""Several processes at one database: whatever they do at once, each event counts once, and nobody waits in a circle."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from antiphon.usage.v1 import usage_pb2

from services.analytics.model.events import RecordedEvent, RejectedEvent
from services.analytics.model.figures import Dimension, Filter, Piece, Question
from services.analytics.stores.deletions import SqlAnalyticsDeletions
from services.analytics.stores.layout import CALLER_TABLES
from services.analytics.stores.warming import warm
from services.infra.postgres.database import Database
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes.analytics_events import event, rejected, yesterday
from tests.fakes.analytics_sql import usage_store
from tests.fakes.analytics_stores import is_answered_right

_DAY = [Piece(yesterday(), yesterday(24), 0)]
_BY_USER = Question(_DAY, (Dimension.USER, Dimension.MODEL))


@pytest.fixture
async def processes(migrated_url: str) -> AsyncIterator[tuple[Database, Database]]:
    """The databases of two processes."""
    async with Database(migrated_url, warm=[warm]) as one, Database(migrated_url, warm=[warm]) as other:
        yield one, other


def _calls(count: int) -> list[RecordedEvent]:
    return [
        event(yesterday(number % 24), user_id=f"u{number % 7}", model=f"m{number % 3}")
        for number in range(count)
    ]


async def test_the_same_events_in_any_order_from_two_processes_count_once(
    processes: tuple[Database, Database],
) -> None:
    stores = [usage_store(database) for database in processes]
    calls = _calls(300)

    async def send(number: int) -> int:
        shuffled = random.Random(number).sample(calls, 200)
        return await stores[number % 2].record(shuffled)

    new = await asyncio.gather(*(send(number) for number in range(40)))
    assert sum(new) + await stores[0].record(calls) == 300
    await is_answered_right(stores[1], calls, _BY_USER)


async def test_series_that_are_new_to_two_processes_at_once_are_one(
    processes: tuple[Database, Database],
) -> None:
    batches = [[event(yesterday(1), model=f"m{number}") for number in range(50)] for _ in range(8)]
    await asyncio.gather(
        *(usage_store(processes[number % 2]).record(batch) for number, batch in enumerate(batches))
    )
    async with processes[0].connection() as connection:
        cursor = await connection.execute(
            "select count(*) filter (where system_id is null), count(*) filter (where system_id is not null) from analytics.series"
        )
        (row,) = await cursor.fetchall()
    assert tuple(row) == (50, 50)


async def test_a_day_made_anew_by_two_processes_while_events_come_and_are_folded_is_right(
    processes: tuple[Database, Database],
) -> None:
    stores = [usage_store(database) for database in processes]
    calls = _calls(600)
    day = yesterday().date()
    record = [stores[n % 2].record(calls[n * 30 : n * 30 + 30]) for n in range(20)]
    rebuild = [stores[n % 2].rebuild(day) for n in range(4)]
    *_, first, second, third, fourth = await asyncio.gather(
        *record, *(store.tidy() for store in stores), *rebuild
    )
    assert (first, second, third, fourth) == (True,) * 4
    await is_answered_right(stores[0], calls, _BY_USER)
    await is_answered_right(stores[1], calls, Question(_DAY))


async def test_a_person_deleted_in_one_process_is_nobody_in_another(
    processes: tuple[Database, Database],
) -> None:
    ana = new_id()
    store = usage_store(processes[1])

    def call(model: str = "echo") -> RecordedEvent:
        return event(model=model, user_id=ana, session_id="s1", request_id="r1")

    await store.record([call()])
    assert await SqlAnalyticsDeletions(processes[0]).remove(ana)
    # This process knows the number of their series, a new one does not.
    await store.record([call()])
    await usage_store(processes[1]).record([call()])
    await usage_store(processes[1]).record([call("another")])
    found = await store.events(*_DAY[0][:2], Filter(), "", 10)
    assert {(one.series.user_id, one.session_id, one.request_id) for one in found} == {("", "", "")}
    assert len(found) == 4
    assert await store.user_count(_BY_USER) == 0


async def test_nothing_names_a_deleted_person(processes: tuple[Database, Database]) -> None:
    ana, store = new_id(), usage_store(processes[0])
    await store.record([event(user_id=ana, session_id=f"s{ana}", api_key_id=f"k{ana}")])
    await store.reject([rejected(ana)])
    await store.tidy()
    await SqlAnalyticsDeletions(processes[1]).remove(ana)
    async with processes[0].connection() as connection:
        for table in ("series", "events", "forgotten", "rejected_events", *CALLER_TABLES.values()):
            cursor = await connection.execute(
                f"select count(*) from analytics.{table} t where t::text like %s".encode(), (f"%{ana}%",)
            )
            (row,) = await cursor.fetchall()
            assert row[0] == 0, table


async def test_a_bad_item_too_long_to_keep_is_kept_without_its_payload(
    processes: tuple[Database, Database],
) -> None:
    store = usage_store(processes[0])
    long = usage_pb2.UsageEvent(model="x" * 70_000).SerializeToString()
    (first, second) = rejected(payload=long), rejected(payload=long + b"\x12\x00")
    await store.reject([first, second, first])
    found = {one.rejected_event_id: one for one in (await store.rejected(PageRequest())).items}
    assert [(one.payload, one.receive_count) for _, one in sorted(found.items())] == [(b"", 2), (b"", 1)]


async def test_what_is_wrong_with_an_item_may_quote_any_text(processes: tuple[Database, Database]) -> None:
    store = usage_store(processes[0])
    await store.reject([rejected(source="chat\0"), rejected(user_id="u\0")])
    assert await store.rejected_count() == 2


async def test_bad_items_of_one_page_are_no_more_than_an_answer_has_room_for(
    processes: tuple[Database, Database],
) -> None:
    store = usage_store(processes[0])
    payload = usage_pb2.UsageEvent(model="x" * 60_000).SerializeToString()
    items = [rejected(source=f"service {number}", payload=payload) for number in range(70)]
    await store.reject(items)
    told: list[RejectedEvent] = []
    after, pages = None, 0
    while pages == 0 or after is not None:
        page = await store.rejected(PageRequest(100, after))
        assert 0 < sum(len(one.payload) for one in page.items) < 3.5 * 1024**2
        told += page.items
        after, pages = page.after, pages + 1
    assert [one.rejected_event_id for one in told] == [one.rejected_event_id for one in items[::-1]]
    assert pages == 2
