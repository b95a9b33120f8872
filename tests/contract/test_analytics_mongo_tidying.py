"""What Analytics keeps in MongoDB for a while only, and what it does when the server is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from antiphon.usage.v1 import usage_pb2

from services.analytics.model.figures import Dimension, Filter, Piece, Question
from services.analytics.stores.mongo.layout import ANALYTICS_INDEXES, SYSTEM_TABLES
from services.analytics.stores.mongo.usage import MongoUsageStore
from services.capabilities.metering.model import ServiceType
from services.infra.mongo.client import Mongo
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes.analytics_events import DAY, event, midnight, rejected, yesterday
from tests.fakes.analytics_mongo import dumped, long_folded, on_mongo
from tests.fakes.analytics_stores import is_answered_right
from tests.peers.mongo_server import mongo_server

pytestmark = pytest.mark.peers

_HOUR = timedelta(hours=1)


@pytest.fixture
async def mongo(mongo_url: str) -> AsyncIterator[Mongo]:
    async with Mongo(mongo_url) as opened:
        await opened.ensure_indexes(ANALYTICS_INDEXES)
        yield opened


async def test_batches_of_old_events_are_removed_once_nobody_folds_them(mongo: Mongo) -> None:
    store, old = on_mongo(mongo).usage, midnight(datetime.now(UTC)) - 150 * DAY
    await store.record([event(old)])
    await store.record([event(old), event()])
    await store.tidy()
    assert await mongo["analytics_batches"].count_documents({}) == 2
    await long_folded(mongo)
    for _ in range(2):
        await store.tidy()
        # One that has a newer event is kept as a whole, but of that only what the setting says is told.
        assert await mongo["analytics_batches"].count_documents({}) == 1
    assert len(await store.events(old, datetime.now(UTC), Filter(), "", 10)) == 1
    (found,) = await store.sums(Question([Piece(old, old + DAY, 0)]))
    assert found.events == 2


async def test_figures_are_removed_when_they_are_old_and_those_of_minutes_sooner(mongo: Mongo) -> None:
    today = midnight(datetime.now(UTC))
    store = MongoUsageStore(mongo, event_retention=5 * DAY, figure_retention=20 * DAY)
    moments = {"old": today - 30 * DAY, "some days": today - 10 * DAY, "lately": today - _HOUR}
    await store.record([event(moment, model=name) for name, moment in moments.items()])
    await store.tidy()
    left: dict[str, set[str]] = {}
    async for figure in mongo["analytics_figures"].find():
        left.setdefault(figure["model"], set()).add(figure["table"])
    coarse = {"people_days", "people_quarters", "system_days", "system_quarters"}
    assert left == {"some days": coarse, "lately": coarse | {"system_minutes"}}


async def test_figures_of_the_system_do_not_grow_with_what_callers_name(mongo: Mongo) -> None:
    store = on_mongo(mongo).usage
    calls = [event(user_id=f"u{number % 3}", project=f"p{number}") for number in range(50)]
    await store.record(calls[::2])
    await store.record(calls[1::2])
    await store.rebuild(yesterday().date())
    for version in (0, 1):
        for table in SYSTEM_TABLES.values():
            assert await mongo["analytics_figures"].count_documents({"table": table, "version": version}) == 1
    for group_by in ((), (Dimension.PROJECT,)):
        await is_answered_right(store, calls, Question([Piece(yesterday(), yesterday(24), 0)], group_by))


async def test_whoever_was_deleted_is_remembered_without_a_name_until_nothing_of_them_can_come(
    mongo: Mongo,
) -> None:
    stores, ana = on_mongo(mongo), new_id()
    notes = mongo["analytics_forgotten"]
    await stores.usage.record([event(user_id=ana)])
    for _ in range(2):
        assert await stores.deletions.remove(ana)
    assert await notes.count_documents({}) == 1
    assert ana not in await dumped(mongo)
    for days, left in ((96, 1), (98, 0)):
        await notes.update_many({}, {"$set": {"noted_at": datetime.now(UTC) - days * DAY}})
        await stores.usage.tidy()
        assert await notes.count_documents({}) == left


async def test_figures_of_a_version_that_nobody_reads_are_removed(mongo: Mongo) -> None:
    store, events = on_mongo(mongo).usage, [event(yesterday(hour), user_id="u1") for hour in range(4)]
    figures = mongo["analytics_figures"]
    await store.record(events)
    before = await figures.count_documents({})
    await store.rebuild(yesterday().date())
    await store.rebuild(yesterday().date())
    await store.tidy()
    # Somebody may be reading them still.
    assert await figures.count_documents({}) == 3 * before
    await mongo["analytics_days"].update_many({}, {"$set": {"changed_at": datetime.now(UTC) - 2 * _HOUR}})
    await store.tidy()
    assert await figures.count_documents({}) == before
    await is_answered_right(
        store, events, Question([Piece(yesterday(), yesterday(24), 0)], (Dimension.USER,))
    )


async def test_a_version_that_nobody_makes_any_more_is_given_up(mongo: Mongo) -> None:
    store, events = on_mongo(mongo).usage, [event(yesterday(hour)) for hour in range(4)]
    await store.record(events[:2])
    await store.rebuild(yesterday().date())
    abandoned = {"building": 7, "last": 7, "changed_at": datetime.now(UTC) - 2 * _HOUR}
    await mongo["analytics_days"].update_many({}, {"$set": abandoned})
    await store.record(events[2:])
    assert await mongo["analytics_figures"].count_documents({"version": 7}) > 0
    await store.tidy()
    assert await mongo["analytics_figures"].count_documents({"version": 7}) == 0
    await is_answered_right(store, events, Question([Piece(yesterday(), yesterday(24), 0)]))


async def test_the_lock_of_a_dead_repairer_is_taken_over(mongo: Mongo) -> None:
    store, locks = on_mongo(mongo).usage, mongo["analytics_locks"]
    async with store.repairing() as alone:
        assert alone
        await locks.update_one({"_id": "repair"}, {"$set": {"beat_at": datetime.now(UTC) - _HOUR}})
        async with store.repairing() as heir:
            assert heir
    # Whoever lost it does not give away what is another's.
    async with store.repairing() as alone:
        assert alone


async def test_bad_items_are_forgotten_after_a_month(mongo: Mongo) -> None:
    store, lately = on_mongo(mongo).usage, rejected()
    await store.reject([lately, rejected(receive_time=datetime.now(UTC) - 31 * DAY)])
    await store.tidy()
    assert list((await store.rejected(PageRequest())).items) == [lately]


async def test_a_bad_item_that_is_too_large_is_kept_without_its_content(mongo: Mongo) -> None:
    store = on_mongo(mongo).usage
    payload = usage_pb2.UsageEvent(user_id="u1", model="m" * 70_000).SerializeToString()
    item = rejected(payload=payload)
    await store.reject([item])
    await store.reject([replace(item, rejected_event_id=new_id())])
    assert list((await store.rejected(PageRequest())).items) == [replace(item, payload=b"", receive_count=2)]


async def test_bad_items_that_only_their_people_told_apart_both_stay(mongo: Mongo) -> None:
    stores = on_mongo(mongo)
    people = [new_id(), new_id()]
    items = [
        rejected(payload=usage_pb2.UsageEvent(event_id="?", user_id=user_id).SerializeToString())
        for user_id in people
    ]
    await stores.usage.reject(items)
    for user_id in people:
        assert await stores.deletions.remove(user_id)
    page = await stores.usage.rejected(PageRequest())
    nobodys = usage_pb2.UsageEvent(event_id="?").SerializeToString()
    assert {item.payload for item in page.items} == {nobodys}
    assert page.total_size == 2


async def test_whatever_is_asked_of_a_server_that_is_away_is_unavailable(mongo_command: list[str]) -> None:
    span = yesterday(), yesterday(24)
    question = Question([Piece(*span, 0)])
    with mongo_server(mongo_command) as server:
        async with Mongo(f"{server.url}?serverSelectionTimeoutMS=200") as mongo:
            stores = on_mongo(mongo)
            await stores.usage.record([event()])
            server.stop()
            usage = stores.usage

            async def repair() -> None:
                async with usage.repairing():
                    pass

            asked: list[Callable[[], Awaitable[object]]] = [
                lambda: usage.record([event()]),
                lambda: usage.sums(question),
                lambda: usage.durations(question),
                lambda: usage.user_count(question),
                lambda: usage.events(*span, Filter(), "", 1),
                lambda: usage.event_tallies(*span, ServiceType.LLM_CHAT),
                lambda: usage.figure_tallies(*span, ServiceType.LLM_CHAT),
                lambda: usage.rebuild(span[0].date()),
                repair,
                lambda: usage.reject([rejected()]),
                lambda: usage.rejected(PageRequest()),
                usage.rejected_count,
                usage.tidy,
                stores.prices.all,
                lambda: stores.prices.page("", None, PageRequest()),
                stores.deletions.position,
                lambda: stores.deletions.remove("u1"),
            ]
            answers = await asyncio.gather(*(ask() for ask in asked), return_exceptions=True)
            assert {type(answer) for answer in answers} == {Unavailable}
