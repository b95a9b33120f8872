"""What a crash between any two writes leaves of Analytics in MongoDB: the next one who comes finds all of a batch counted, or nothing of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest

from services.analytics.model.balances import FigureTallies
from services.analytics.model.events import RecordedEvent
from services.analytics.model.figures import Dimension, Filter, Piece, Question
from services.analytics.stores.mongo import days, folding, recording
from services.analytics.stores.mongo.layout import ANALYTICS_INDEXES
from services.capabilities.metering.model import ServiceType
from services.infra.mongo.client import Mongo
from services.kernel.ids import new_id
from tests.fakes.analytics_events import event, rejected, yesterday
from tests.fakes.analytics_mongo import dumped, long_folded, on_mongo
from tests.fakes.analytics_stores import AnalyticsStores, is_answered_right
from tests.fakes.analytics_sums import sums_of, tallies_of
from tests.fakes.crashing_mongo import Crashed, CrashingMongo

pytestmark = [pytest.mark.peers, pytest.mark.timeout(180)]

_MOST_WRITES = 60
_DAY = [Piece(yesterday(), yesterday(24), 0)]
_HOURS = [Piece(yesterday(number), yesterday(number + 1), number) for number in range(24)]


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each figure is a write of its own, and nobody is waited for who has crashed."""
    monkeypatch.setattr(folding, "_AT_ONCE", 1)
    monkeypatch.setattr(recording, "_PAUSES_SECONDS", (0.0,))
    monkeypatch.setattr(days, "_IDLE", days._IDLE * 0)


@pytest.fixture
async def mongo(mongo_url: str) -> AsyncIterator[Mongo]:
    async with Mongo(mongo_url) as opened:
        await opened.ensure_indexes(ANALYTICS_INDEXES)
        yield opened


async def crash_after_each_write(mongo: Mongo, round_: Callable[[AnalyticsStores], Awaitable[None]]) -> int:
    """Play the round with stores that crash after 0, 1, 2 … writes, until they do not. Returns how many writes it takes to the end."""
    for writes in range(_MOST_WRITES):
        crashing = CrashingMongo(mongo, writes)
        await round_(on_mongo(cast(Any, crashing)))
        if not crashing.crashed:
            return writes
    raise AssertionError(f"it takes more than {_MOST_WRITES} writes")


async def done(step: Awaitable[Any]) -> bool:
    """Whether the step came to its end."""
    try:
        await step
    except Crashed:
        return False
    return True


async def are_counted(stores: AnalyticsStores, events: list[RecordedEvent]) -> None:
    """Assert that these events are there, and what all figures are made of."""
    store = stores.usage
    assert list(await store.events(yesterday(), yesterday(24), Filter(), "", 1000)) == sorted(events)
    # Of a whole day all tables are looked at.
    found = await store.figure_tallies(yesterday(), yesterday(24), ServiceType.LLM_CHAT)
    nobodys = tallies_of(one._replace(series=one.series._replace(user_id="")) for one in events)
    assert found == FigureTallies(tallies_of(events), tallies_of(events), nobodys)
    await is_answered_right(store, events, Question(_DAY, (Dimension.USER,)))


def batch() -> list[RecordedEvent]:
    return [event(yesterday(hour), user_id=user_id) for hour, user_id in ((1, "u1"), (1, "u2"), (9, "u1"))]


@pytest.mark.parametrize("mends", ["tidy", "again", "tallies"])
async def test_a_batch_is_counted_or_not(mongo: Mongo, mends: str) -> None:
    reader = on_mongo(mongo)
    events: list[RecordedEvent] = []

    async def round_(stores: AnalyticsStores) -> None:
        new = batch()
        finished = await done(stores.usage.record(new))
        if mends == "tidy":
            await reader.usage.tidy()
        elif mends == "tallies":
            await reader.usage.figure_tallies(yesterday(), yesterday(24), ServiceType.LLM_CHAT)
        told = await reader.usage.events(yesterday(), yesterday(24), Filter(), "", 1000)
        is_there = new[0] in told
        assert is_there or not finished
        if mends != "again" and is_there:
            await are_counted(reader, [*events, *new])
        assert await reader.usage.record(new) == (0 if is_there else 3)
        events.extend(new)
        await are_counted(reader, events)

    assert await crash_after_each_write(mongo, round_) >= 12


async def test_half_of_a_batch_that_is_known_is_counted_once(mongo: Mongo) -> None:
    reader = on_mongo(mongo)
    events: list[RecordedEvent] = []

    async def round_(stores: AnalyticsStores) -> None:
        first, second = batch(), batch()
        await done(stores.usage.record(first))
        await reader.usage.record([*second, *first])
        await reader.usage.record(first)
        events.extend([*first, *second])
        await are_counted(reader, events)

    await crash_after_each_write(mongo, round_)


async def test_a_person_is_taken_out_in_the_end_and_no_sum_moves(mongo: Mongo) -> None:
    reader = on_mongo(mongo)
    others: list[RecordedEvent] = []

    async def round_(stores: AnalyticsStores) -> None:
        ana = new_id()
        hers = [
            event(yesterday(hour), user_id=ana, session_id=f"s {ana}", request_id=f"r {ana}")
            for hour in (1, 2)
        ]
        await reader.usage.record(hers)
        await reader.usage.reject([rejected(ana)])
        await done(stores.deletions.remove(ana))
        # Meanwhile totals are what they were.
        sums = await reader.usage.sums(Question(_HOURS))
        assert sorted(sums) == sorted(sums_of([*others, *hers], Question(_HOURS)))
        found = await reader.usage.figure_tallies(yesterday(), yesterday(24), ServiceType.LLM_CHAT)
        assert found.events == found.people
        assert await reader.deletions.remove(ana)
        others.extend(
            one._replace(series=one.series._replace(user_id=""), session_id="", request_id="") for one in hers
        )
        await are_counted(reader, others)
        assert ana not in await dumped(mongo)

    assert await crash_after_each_write(mongo, round_) >= 4


async def test_events_of_the_deleted_leave_no_trace_wherever_their_recording_ends(mongo: Mongo) -> None:
    reader = on_mongo(mongo)
    others: list[RecordedEvent] = []

    async def round_(stores: AnalyticsStores) -> None:
        ana = new_id()
        hers = [event(yesterday(hour), user_id=ana, session_id=f"s {ana}") for hour in (1, 2)]
        await done(stores.usage.record(hers))
        assert await reader.deletions.remove(ana)
        await reader.usage.tidy()
        assert ana not in await dumped(mongo)
        await reader.usage.record(hers)
        others.extend(one._replace(series=one.series._replace(user_id=""), session_id="") for one in hers)
        await are_counted(reader, others)

    await crash_after_each_write(mongo, round_)


@pytest.mark.parametrize("is_old", [False, True])
async def test_a_day_that_is_made_anew_is_the_old_or_the_new_one(mongo: Mongo, is_old: bool) -> None:
    reader, events = on_mongo(mongo), [*batch(), *batch()]
    await reader.usage.record(events)
    if is_old:
        await long_folded(mongo)
        await reader.usage.tidy()

    async def round_(stores: AnalyticsStores) -> None:
        await done(stores.usage.rebuild(yesterday().date()))
        await are_counted(reader, events)
        if is_old:
            # What arrives from now on is in whichever counts in the end.
            events.append(more := event(yesterday(1), user_id="u1"))
            await reader.usage.record([more])
            await are_counted(reader, events)
            await long_folded(mongo)
            await reader.usage.tidy()

    assert await crash_after_each_write(mongo, round_) >= 10
    await reader.damage()
    assert await reader.usage.rebuild(yesterday().date())
    await are_counted(reader, events)


async def test_tidying_that_is_broken_off_is_taken_up(mongo: Mongo) -> None:
    reader = on_mongo(mongo)
    events: list[RecordedEvent] = []

    async def round_(stores: AnalyticsStores) -> None:
        new = batch()
        await reader.usage.record(new)
        await long_folded(mongo)
        events.extend(new)
        await done(stores.usage.tidy())
        await are_counted(reader, events)
        assert await reader.usage.record(events) == 0
        await are_counted(reader, events)

    assert await crash_after_each_write(mongo, round_) >= 10
    await reader.usage.tidy()
    assert await mongo["analytics_batches"].count_documents({"fold": {"$exists": True}}) == 0
    assert await mongo["analytics_figures"].count_documents({"batches": {"$ne": []}}) == 0
    await are_counted(reader, events)
