"""What events, figures of people and figures of the system say of the same calls; and how it is mended when they disagree."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.analytics.model.balances import FigureTallies, Tallies
from services.analytics.model.events import RecordedEvent
from services.analytics.model.figures import Dimension, Piece, Question
from services.analytics.ports import UsageStore
from services.capabilities.metering.model import ServiceType
from tests.fakes.analytics_events import DAY, QUARTER, event, events_of, midnight, yesterday
from tests.fakes.analytics_stores import AnalyticsStores, is_answered_right
from tests.fakes.analytics_sums import is_in, tallies_of

_CHAT = ServiceType.LLM_CHAT


def without_people(events: list[RecordedEvent]) -> Tallies:
    return tallies_of(one._replace(series=one.series._replace(user_id="")) for one in events)


async def agree(store: UsageStore, start: datetime, end: datetime) -> FigureTallies:
    """The tallies of a span, whose three kinds say the same."""
    found = await store.figure_tallies(start, end, _CHAT)
    assert found.events == found.people
    total: dict[tuple[str, int], int] = {}
    for account, tally in found.people.items():
        key = account.model, account.status
        total[key] = total.get(key, 0) + tally.events
    assert {(one.model, one.status): tally.events for one, tally in found.system.items()} == total
    return found


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(st.lists(events_of(yesterday(), yesterday(24)), max_size=40), st.integers(0, 95), st.integers(1, 96))
async def test_the_three_kinds_say_what_the_events_are(
    analytics_stores: AnalyticsStores, events: list[RecordedEvent], first: int, quarters: int
) -> None:
    store = analytics_stores.usage
    await store.record(events)
    start = yesterday() + first * QUARTER
    await agree(store, start, start + quarters * QUARTER)
    await agree(store, yesterday(), yesterday(24))


async def test_tallies_are_told_by_person_model_and_end(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    events = [
        event(
            yesterday(number / 4),
            user_id=f"u{number % 3 or ''}",
            model=f"m{number % 2}",
            status=1 + number % 3,
        )
        for number in range(96)
    ]
    others = [event(service_type=2), event(status=2, refused=True), event(yesterday(24))]
    await store.record([*events, *others])
    for start, end in ((yesterday(), yesterday(24)), (yesterday(2.25), yesterday(7.5))):
        wanted = [one for one in events if is_in(one, start, end)]
        found = await store.figure_tallies(start, end, _CHAT)
        assert found == FigureTallies(tallies_of(wanted), tallies_of(wanted), without_people(wanted))
        assert await store.event_tallies(start, end, _CHAT) == found.events


async def test_the_kinds_agree_while_events_arrive(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    batches = [[event(yesterday(hour), user_id=f"u{hour % 3}") for hour in range(24)] for _ in range(20)]
    over = asyncio.Event()

    async def look() -> None:
        told = 0
        while not over.is_set():
            found = await agree(store, yesterday(), yesterday(24))
            count = sum(tally.events for tally in found.events.values())
            assert count >= told
            told = count
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    try:
        await asyncio.gather(*(store.record(batch) for batch in batches))
    finally:
        over.set()
        await looking
    found = await agree(store, yesterday(), yesterday(24))
    assert sum(tally.events for tally in found.events.values()) == 480


async def test_figures_that_were_spoilt_are_made_anew_from_the_events(
    analytics_stores: AnalyticsStores,
) -> None:
    store = analytics_stores.usage
    days = [yesterday(-24), yesterday()]
    events = [
        event(day + number * timedelta(hours=1), user_id=f"u{number % 2}")
        for day in days
        for number in range(24)
    ]
    await store.record(events)
    await analytics_stores.damage()
    found = await store.figure_tallies(days[0], yesterday(24), _CHAT)
    assert found.events == tallies_of(events)
    assert found.people != found.events
    assert found.system != without_people(events)
    for day in days:
        assert await store.rebuild(day.date())
    found = await store.figure_tallies(days[0], yesterday(24), _CHAT)
    assert found == FigureTallies(tallies_of(events), tallies_of(events), without_people(events))
    hours = [
        Piece(day + number * timedelta(hours=1), day + (number + 1) * timedelta(hours=1), 0)
        for day in days
        for number in range(24)
    ]
    for group_by in ((), (Dimension.USER,)):
        await is_answered_right(store, events, Question(hours, group_by))
        await is_answered_right(store, events, Question([Piece(days[0], yesterday(24), 0)], group_by))
    assert await store.record(events) == 0
    more = [event(day, user_id="u1") for day in days]
    await store.record(more)
    await store.tidy()
    await is_answered_right(store, [*events, *more], Question([Piece(days[0], yesterday(24), 0)]))


async def test_what_is_recorded_while_a_day_is_made_anew_is_in_it(analytics_stores: AnalyticsStores) -> None:
    store, question = analytics_stores.usage, Question([Piece(yesterday(), yesterday(24), 0)])
    first = [event(yesterday(hour), user_id="u1") for hour in range(24)]
    await store.record(first)
    batches = [[event(yesterday(hour), user_id=f"u{hour % 3}") for hour in range(24)] for _ in range(12)]
    await asyncio.gather(
        *(store.record(batch) for batch in batches), *(store.rebuild(yesterday().date()) for _ in range(3))
    )
    events = [*first, *(one for batch in batches for one in batch)]
    for group_by in ((), (Dimension.USER,)):
        await is_answered_right(store, events, Question(question.pieces, group_by))
    await agree(store, yesterday(), yesterday(24))


async def test_a_day_whose_events_are_not_kept_is_left_alone(analytics_stores: AnalyticsStores) -> None:
    store, old = analytics_stores.usage, midnight(datetime.now(UTC)) - 150 * DAY
    await store.record([event(old)])
    await store.tidy()
    assert not await store.rebuild(old.date())
    assert [one.events for one in await store.sums(Question([Piece(old, old + DAY, 0)]))] == [1]


async def test_one_repairs_at_a_time(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    async with store.repairing() as alone:
        assert alone
        async with store.repairing() as second:
            assert not second
        async with store.repairing() as third:
            assert not third
    async with store.repairing() as alone:
        assert alone


async def test_a_repair_that_fails_lets_others_in(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage

    async def fail() -> None:
        async with store.repairing():
            raise ZeroDivisionError

    (failure,) = await asyncio.gather(fail(), return_exceptions=True)
    assert isinstance(failure, ZeroDivisionError)
    async with store.repairing() as alone:
        assert alone
