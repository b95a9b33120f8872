"""Processes that record, delete, make anew, tidy and look, in any order of their commands to MongoDB."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.analytics.model.events import RecordedEvent
from services.analytics.model.figures import Dimension, Filter, Piece, Question
from services.analytics.stores.mongo import days, folding, recording
from services.analytics.stores.mongo.batches import batch_document
from services.analytics.stores.mongo.days import Days
from services.analytics.stores.mongo.folding import Folding
from services.analytics.stores.mongo.layout import ANALYTICS_INDEXES
from services.analytics.stores.mongo.people import People
from services.capabilities.metering.model import ServiceType
from services.infra.mongo.client import Mongo
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from tests.fakes.analytics_events import event, yesterday
from tests.fakes.analytics_mongo import dumped, long_folded, on_mongo
from tests.fakes.analytics_stores import AnalyticsStores, is_answered_right
from tests.fakes.interleaved_mongo import InterleavedMongo, Turns
from tests.fakes.meddled_mongo import MeddledMongo, Pause

pytestmark = [pytest.mark.peers, pytest.mark.timeout(180)]

_DAY = [Piece(yesterday(), yesterday(24), 0)]
_HOURS = [Piece(yesterday(number), yesterday(number + 1), number) for number in range(24)]
_RECORDER, _OTHER, _DELETER, _MAKER, _TIDIER, _READER = range(6)


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some figures are written after others, and nobody is waited for."""
    monkeypatch.setattr(folding, "_AT_ONCE", 3)
    monkeypatch.setattr(recording, "_PAUSES_SECONDS", (0.0,))
    monkeypatch.setattr(days, "_PAUSE_SECONDS", 0.001)


def of(user_id: str, hour: float) -> RecordedEvent:
    return event(
        yesterday(hour), user_id=user_id, session_id=f"session of {user_id}", api_key_id=f"key of {user_id}"
    )


def nobodys(one: RecordedEvent) -> RecordedEvent:
    return one._replace(series=one.series._replace(user_id="", api_key_id=""), session_id="")


async def agree(stores: AnalyticsStores) -> None:
    """Assert that events and figures say the same."""
    found = await stores.usage.figure_tallies(yesterday(), yesterday(24), ServiceType.LLM_CHAT)
    assert found.events == found.people
    whole = {account.model: tally for account, tally in found.system.items()}
    assert sum(tally.events for tally in found.events.values()) == sum(one.events for one in whole.values())


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(
    spells=st.lists(st.tuples(st.integers(0, _READER), st.integers(1, 15)), max_size=14), is_old=st.booleans()
)
async def test_whoever_comes_first_each_event_counts_once_and_people_are_gone(
    mongo_url: str, spells: list[tuple[int, int]], is_old: bool
) -> None:
    async with Mongo(mongo_url) as mongo:
        await mongo.ensure_indexes(ANALYTICS_INDEXES)
        for name in ANALYTICS_INDEXES:
            await mongo[name].delete_many({})
        plain, turns = on_mongo(mongo), Turns()
        ana, ben = new_id(), new_id()
        before = [of(ana, 1), of(ben, 1), of(ana, 2)]
        first = [of(ana, 1), of(ben, 2), of(ana, 23), event(yesterday(1))]
        second = [of(ana, 1.1), *first[1:3]]
        await plain.usage.record(before)
        if is_old:
            await long_folded(mongo)
        stores = [on_mongo(cast(Any, InterleavedMongo(mongo, number, turns))) for number in range(6)]
        new: list[int] = []

        async def record(number: int, events: list[RecordedEvent]) -> None:
            new.append(await stores[number].usage.record(events))

        async def remove() -> None:
            assert await stores[_DELETER].deletions.remove(ana)

        async def make_anew() -> None:
            assert await stores[_MAKER].usage.rebuild(yesterday().date())

        async def look() -> None:
            for _ in range(3):
                await agree(stores[_READER])

        turns.follow([process for process, commands in spells for _ in range(commands)])
        await turns.play(
            record(_RECORDER, first),
            record(_OTHER, second),
            remove(),
            make_anew(),
            stores[_TIDIER].usage.tidy(),
            look(),
        )
        assert sum(new) == 5
        left = [nobodys(one) if one.series.user_id == ana else one for one in (*before, *first, second[0])]
        for pieces in (_DAY, _HOURS):
            await is_answered_right(plain.usage, left, Question(pieces))
            await is_answered_right(plain.usage, left, Question(pieces, (Dimension.USER, Dimension.API_KEY)))
        assert list(await plain.usage.events(yesterday(), yesterday(24), Filter(), "", 100)) == sorted(left)
        await agree(plain)
        # What a recording that began before has left is taken out by it; none is under way any more.
        assert ana not in await dumped(mongo)


async def test_one_who_slept_while_others_folded_its_batch_adds_nothing(mongo_url: str) -> None:
    async with Mongo(mongo_url) as mongo:
        await mongo.ensure_indexes(ANALYTICS_INDEXES)
        plain, pause = on_mongo(mongo), Pause()
        sleeping = on_mongo(cast(Any, MeddledMongo(mongo, {("analytics_figures", "bulk_write"): pause})))
        events = [of("u1", hour) for hour in range(5)]
        task = asyncio.create_task(sleeping.usage.record(events))
        await pause.reached.wait()
        assert await plain.usage.record(events) == 0
        await is_answered_right(plain.usage, events, Question(_HOURS))
        pause.over.set()
        assert await task == 5
        await is_answered_right(plain.usage, events, Question(_HOURS))
        await is_answered_right(plain.usage, events, Question(_DAY, (Dimension.USER,)))


async def test_one_who_slept_for_more_than_a_minute_gives_up(mongo_url: str) -> None:
    async with Mongo(mongo_url) as mongo:
        await mongo.ensure_indexes(ANALYTICS_INDEXES)
        plain, days_ = on_mongo(mongo), Days(mongo)
        events = [of("u1", hour) for hour in range(5)]
        await plain.usage.record(events)
        await long_folded(mongo)
        await plain.usage.tidy()
        (stored,) = await mongo["analytics_batches"].find().to_list()
        # The batch as it was before it was folded, and figures that have forgotten its name.
        late = {**batch_document(stored["_id"], events)}
        with pytest.raises(Unavailable):
            await Folding(mongo, days_, People(mongo)).fold(late, time.monotonic() - 61)
        await is_answered_right(plain.usage, events, Question(_HOURS))
