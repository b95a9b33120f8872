"""Each event counts once, at its own time, however often and by however many it is sent."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta

from services.analytics.model.figures import Dimension, Filter, Piece, Question
from services.analytics.ports import UsageStore
from services.capabilities.metering.model import ServiceType
from tests.fakes.analytics_events import DAY, QUARTER, event, midnight, quantities, yesterday
from tests.fakes.analytics_stores import AnalyticsStores, answers, is_answered_right

_WHOLE = Question([Piece(yesterday(-24), yesterday(48), 0)])


async def counted(store: UsageStore) -> int:
    """How many calls the figures have, which has to be how many events there are."""
    tallies = await store.figure_tallies(yesterday(-24), yesterday(48), ServiceType.LLM_CHAT)
    people, system = (
        sum(tally.events for tally in kind.values()) for kind in (tallies.people, tallies.system)
    )
    events = await store.events(yesterday(-24), yesterday(48), Filter(), "", 100_000)
    sums = sum(one.events for one in await store.sums(_WHOLE))
    assert people == system == len(events) == sums
    return sums


async def test_a_batch_is_counted(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    assert await counted(store) == 0
    events = [event(user_id=f"u{number % 3}") for number in range(20)]
    assert await store.record(events) == 20
    assert await counted(store) == 20
    await is_answered_right(store, events, _WHOLE)


async def test_a_batch_that_comes_again_changes_nothing(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    events = [event(user_id="u1"), event()]
    assert await store.record(events) == 2
    for _ in range(3):
        assert await store.record(events) == 0
    assert await store.record(list(reversed(events))) == 0
    await is_answered_right(store, events, _WHOLE)


async def test_no_events_are_a_batch_too(analytics_stores: AnalyticsStores) -> None:
    assert await analytics_stores.usage.record([]) == 0


async def test_an_event_that_stands_twice_in_a_batch_counts_once(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    one, other = event(), event()
    assert await store.record([one, other, one, one]) == 2
    await is_answered_right(store, [one, other], _WHOLE)


async def test_a_batch_that_comes_a_hundred_times_at_once_counts_once(
    analytics_stores: AnalyticsStores,
) -> None:
    store = analytics_stores.usage
    events = [event(user_id=f"u{number % 2}", model=f"m{number % 3}") for number in range(30)]
    new = await asyncio.gather(*(store.record(events) for _ in range(100)))
    assert sum(new) == 30
    assert await counted(store) == 30
    await is_answered_right(store, events, _WHOLE)


async def test_whoever_is_told_that_events_are_known_finds_them_counted(
    analytics_stores: AnalyticsStores,
) -> None:
    store = analytics_stores.usage
    events = [event() for _ in range(50)]

    async def send() -> None:
        await store.record(events)
        assert await counted(store) == 50

    await asyncio.gather(*(send() for _ in range(8)))


async def test_batches_that_overlap_count_each_event_once(analytics_stores: AnalyticsStores) -> None:
    store, chance = analytics_stores.usage, random.Random(20)
    events = [event(user_id=f"u{number % 4}", status=1 + number % 3) for number in range(60)]
    batches = [events[first : first + 30] for first in range(0, 60, 5)] + [events[:1], events]
    for batch in batches:
        chance.shuffle(batch)
    new = await asyncio.gather(*(store.record(batch) for batch in batches))
    assert sum(new) == 60
    assert await counted(store) == 60
    await is_answered_right(store, events, _WHOLE)


async def test_a_late_event_counts_in_its_own_interval(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    start = midnight(datetime.now(UTC)) - 40 * DAY
    days = [Piece(start + number * DAY, start + (number + 1) * DAY, number) for number in range(42)]
    await store.record([event(start + 41 * DAY)])
    late = [
        event(start + 3 * DAY),
        event(start + 4 * DAY - timedelta(milliseconds=1)),
        event(start + 40 * DAY),
    ]
    await store.record(late)
    sums = await store.sums(Question(days))
    assert {one.piece: one.events for one in sums} == {3: 2, 40: 1, 41: 1}


async def test_an_event_at_an_edge_counts_on_its_own_side(analytics_stores: AnalyticsStores) -> None:
    store, edge = analytics_stores.usage, yesterday(6)
    step = timedelta(milliseconds=1)
    events = [event(edge - step), event(edge), event(edge + step)]
    await store.record(events)
    for pieces in (
        [Piece(edge - QUARTER, edge, 0), Piece(edge, edge + QUARTER, 1)],
        [Piece(edge - step, edge, 0), Piece(edge, edge + step, 1)],
        [Piece(edge - DAY, edge, 0), Piece(edge + step, edge + DAY, 1)],
    ):
        await is_answered_right(store, events, Question(pieces))


async def test_quantities_add_up_without_loss(analytics_stores: AnalyticsStores) -> None:
    store, much = analytics_stores.usage, 10**12
    for _ in range(3):
        used = quantities(input_tokens=much, audio_milliseconds=much)
        await store.record([event(used=used) for _ in range(100)])
    (found,) = await store.sums(_WHOLE)
    assert found.quantities == quantities(input_tokens=300 * much, audio_milliseconds=300 * much)


async def test_ten_thousand_events_are_one_batch(analytics_stores: AnalyticsStores) -> None:
    store, start = analytics_stores.usage, yesterday()
    events = [
        event(start + timedelta(seconds=number), user_id=f"u{number % 100}", model=f"m{number % 5}")
        for number in range(10_000)
    ]
    assert await store.record(events) == 10_000
    assert await store.record(events) == 0
    question = Question([Piece(start, start + DAY, 0)], (Dimension.MODEL,))
    assert sorted((one.group, one.events) for one in await store.sums(question)) == [
        ((f"m{number}",), 2000) for number in range(5)
    ]
    assert await store.user_count(question) == 100


async def test_long_and_odd_texts_come_back(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    texts = ["𝄞" * 256, "$model", "a.b.$c", "'; drop table events", '\\x00\n\t"', " ", "\u202e\u0301", "null"]
    events = [event(model=text, project=text[:128], provider=text[:128], variant=text[:64]) for text in texts]
    assert await store.record(events) == len(texts)
    question = Question(_WHOLE.pieces, (Dimension.MODEL, Dimension.PROJECT, Dimension.PROVIDER))
    await is_answered_right(store, events, question)
    for text in texts:
        which = Filter({Dimension.MODEL: (text,)})
        assert [
            one.group for one in await store.sums(Question(_WHOLE.pieces, (Dimension.MODEL,), which))
        ] == [(text,)]
        (found,) = await store.events(yesterday(-24), yesterday(48), which, "", 10)
        assert found in events


async def test_tidying_changes_no_figure(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    events = [event(yesterday(number / 2), user_id=f"u{number % 2}") for number in range(48)]
    for first in range(0, 48, 8):
        await store.record(events[first : first + 8])
    hours = [Piece(yesterday(number), yesterday(number + 1), number) for number in range(-1, 25)]
    questions = [Question(hours), Question(hours, (Dimension.USER,)), _WHOLE]
    before = [await answers(store, question) for question in questions]
    for _ in range(2):
        await store.tidy()
        assert [await answers(store, question) for question in questions] == before
    more = [event(yesterday(number / 2)) for number in range(48)]
    await asyncio.gather(*(store.tidy() for _ in range(4)), *(store.record([one]) for one in more))
    await store.tidy()
    for question in questions:
        await is_answered_right(store, [*events, *more], question)
    assert await store.record(events) == 0
