"""Single events are told page by page, as they were recorded, and for a while only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.analytics.model.events import RecordedEvent
from services.analytics.model.figures import Dimension, Filter, Piece, Question
from services.analytics.ports import UsageStore
from services.capabilities.metering.model import ServiceType
from services.kernel.ids import new_id
from tests.fakes.analytics_events import DAY, MILLISECOND, QUARTER, event, events_of, midnight, yesterday
from tests.fakes.analytics_stores import AnalyticsStores
from tests.fakes.analytics_sums import is_in, matches, tallies_of


async def exported(
    store: UsageStore, start: datetime, end: datetime, which: Filter, limit: int
) -> list[RecordedEvent]:
    """All events, page by page."""
    found: list[RecordedEvent] = []
    while True:
        page = await store.events(start, end, which, found[-1].event_id if found else "", limit)
        assert len(page) <= limit
        found += page
        if len(page) < limit:
            return found


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(
    st.lists(events_of(yesterday(-24), yesterday(24)), max_size=30),
    st.tuples(st.integers(0, 172_800_000), st.integers(0, 172_800_000)),
    st.integers(1, 12),
    st.sampled_from(
        [
            {},
            {Dimension.USER: ("u1",)},
            {Dimension.USER: ("", "u2"), Dimension.STATUS: (1, 2)},
            {Dimension.MODEL: ("a", "Ünïcode $.x"), Dimension.SERVICE_TYPE: (1,)},
            {Dimension.API_KEY: ("k1",)},
        ]
    ),
    st.sampled_from([None, True, False]),
)
async def test_every_event_of_the_span_and_the_filter_is_told_once(
    analytics_stores: AnalyticsStores,
    events: list[RecordedEvent],
    cuts: tuple[int, int],
    limit: int,
    values: dict[Dimension, tuple[str | int, ...]],
    refused: bool | None,
) -> None:
    store, token = analytics_stores.usage, new_id()
    own = [one._replace(series=one.series._replace(operation=token)) for one in events]
    for first in range(3):
        await store.record(own[first::3])
    start, end = (yesterday(-24) + cut * MILLISECOND for cut in sorted(cuts))
    which = Filter({**values, Dimension.OPERATION: (token,)}, refused)
    wanted = sorted(one for one in own if is_in(one, start, end) and matches(one, which))
    assert await exported(store, start, end, which, limit) == wanted


async def test_pages_go_on_after_days_without_events(analytics_stores: AnalyticsStores) -> None:
    store, start = analytics_stores.usage, midnight(datetime.now(UTC)) - 60 * DAY
    events = [event(start + number * DAY, user_id="u1") for number in (0, 1, 1, 30, 59)]
    await store.record([*events, *(event(start + number * DAY) for number in range(60))])
    which = Filter({Dimension.USER: ("u1",)})
    assert await exported(store, start, start + 60 * DAY, which, 2) == sorted(events)
    assert await exported(store, start + DAY, start + 59 * DAY, which, 2) == sorted(events)[1:4]
    assert list(await store.events(start, start, which, "", 10)) == []


async def test_events_that_were_recorded_late_are_in_their_place(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    moments = [yesterday(hour) for hour in (5, 3, 9, 1, 7)]
    events = [event(moment + number * MILLISECOND) for moment in moments for number in range(3)]
    for one in events:
        await store.record([one])
    await store.record(wide := [event(yesterday(0)), event(yesterday(23))])
    assert await exported(store, yesterday(), yesterday(24), Filter(), 4) == sorted([*events, *wide])


async def test_a_limit_that_is_met_exactly_is_not_the_end(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    events = sorted(event() for _ in range(6))
    await store.record(events)
    for limit in (1, 2, 3, 6, 7):
        assert await exported(store, yesterday(), yesterday(24), Filter(), limit) == events


async def test_tallies_of_events_are_exact_to_the_millisecond(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    start, end = yesterday(3.3), yesterday(9) + 7 * MILLISECOND
    edges = (start - MILLISECOND, start, end - MILLISECOND, end)
    events = [event(moment, user_id="u1", status=status) for moment in edges for status in (1, 2)]
    events += [event(start, status=2, refused=True), event(start, service_type=2)]
    await store.record(events)
    chats: Sequence[RecordedEvent] = [one for one in events if one.series.service_type == 1]
    wanted = tallies_of(one for one in chats if is_in(one, start, end))
    assert await store.event_tallies(start, end, ServiceType.LLM_CHAT) == wanted
    assert len(wanted) == 2


async def test_events_are_forgotten_and_their_figures_stay(analytics_stores: AnalyticsStores) -> None:
    store, today = analytics_stores.usage, midnight(datetime.now(UTC))
    old, kept = today - 150 * DAY + timedelta(minutes=20), today - 40 * DAY + timedelta(minutes=20)
    events = [event(moment, user_id="u1", model="m") for moment in (old, kept)]
    await store.record(events)
    await asyncio.gather(*(store.tidy() for _ in range(3)))
    assert await exported(store, today - 200 * DAY, today, Filter(), 10) == [events[1]]

    async def told(start: datetime, end: datetime, *group_by: Dimension) -> int:
        question = Question([Piece(start, end, 0)], group_by)
        latencies = sum(sum(one.latency.values()) for one in await store.durations(question))
        sums = sum(one.events for one in await store.sums(question))
        assert (latencies, await store.user_count(question)) == (sums, int(sums > 0))
        return sums

    for people in ((), (Dimension.USER,)):
        assert await told(today - 200 * DAY, today, *people) == 2
        # What is left of the old one is told by its quarter, which began five minutes before.
        quarter = old - timedelta(minutes=5)
        assert await told(old, old + MILLISECOND, *people) == 0
        assert await told(quarter, quarter + QUARTER, *people) == 1
        assert await told(quarter + MILLISECOND, quarter + QUARTER + MILLISECOND, *people) == 1
        assert await told(quarter - timedelta(minutes=5), quarter + MILLISECOND, *people) == 0
        assert await told(kept, kept + MILLISECOND, *people) == 1
        assert await told(kept + MILLISECOND, kept + QUARTER, *people) == 0
