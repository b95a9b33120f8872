"""Who called most, and how many people called: the same whether it is asked of a day or of a millisecond, before and after tidying."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.analytics.model.events import RecordedEvent
from services.analytics.model.figures import Dimension, Filter, Piece, Question
from services.analytics.ports import UsageStore
from services.kernel.ids import new_id
from tests.fakes.analytics_events import DAY, MILLISECOND, QUARTER, event, events_of, yesterday
from tests.fakes.analytics_stores import AnalyticsStores, is_answered_right

_SPAN = 3 * DAY
_START = yesterday() - 2 * DAY
_HOUR = timedelta(hours=1)
# Services that no other example has, three each.
_SERVICES = itertools.count(100, 3)


@st.composite
def _pieces(draw: st.DrawFn) -> list[Piece]:
    """Pieces of the span, at edges of days, hours and quarters and at odd milliseconds, with gaps and without."""
    sizes = st.sampled_from([DAY, DAY, _HOUR, QUARTER, MILLISECOND])
    moments = sizes.flatmap(
        lambda size: st.integers(0, _SPAN // size).map(lambda number: _START + number * size)
    )
    edges = sorted(draw(st.sets(moments, min_size=2, max_size=5)))
    return [
        Piece(first, last, step)
        for step, (first, last) in enumerate(itertools.pairwise(edges))
        if draw(st.integers(0, 4))
    ]


def _of_services(events: Collection[RecordedEvent], first: int) -> list[RecordedEvent]:
    return [
        one._replace(series=one.series._replace(service_type=first + one.series.service_type % 3))
        for one in events
    ]


async def _are_told_right(store: UsageStore, events: Collection[RecordedEvent], question: Question) -> None:
    """Assert that the store tells the callers of all the services that the question names, and of each alone."""
    services = question.filter.values[Dimension.SERVICE_TYPE]
    for some in (services, services[:1]):
        which = Filter({Dimension.SERVICE_TYPE: some})
        await is_answered_right(store, events, replace(question, filter=which))


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(
    st.lists(events_of(_START, _START + _SPAN), min_size=1, max_size=40),
    _pieces(),
    st.sampled_from([1, 2, 3]),
)
async def test_callers_are_those_of_the_events(
    analytics_stores: AnalyticsStores, drawn: list[RecordedEvent], pieces: list[Piece], limit: int
) -> None:
    store, first = analytics_stores.usage, next(_SERVICES)
    events = _of_services(drawn, first)
    which = Filter({Dimension.SERVICE_TYPE: (first, first + 1, first + 2)})
    question = Question(pieces, (Dimension.USER,), which, limit)
    await store.record(events[::2])
    await _are_told_right(store, events[::2], question)
    await store.tidy()
    await store.record(events[1::2])
    await _are_told_right(store, events, question)
    await store.tidy()
    await _are_told_right(store, events, question)


def _calls() -> list[RecordedEvent]:
    """Calls of yesterday and the day before, more by people with higher numbers, and most of nobody."""
    return [
        event(
            yesterday(number * 3.37 % 48 - 24),
            user_id=f"u{number % 7 % 5}" if number % 3 else "",
            model=f"m{number % 2}",
            service_type=1 + number % 11 % 3,
        )
        for number in range(240)
    ]


def _questions(limit: int) -> list[Question]:
    whole = [Piece(yesterday(-24), yesterday(24), 0)]
    odd = [Piece(yesterday(-21.77), yesterday(1.5), 0), Piece(yesterday(1.5), yesterday(22.003), 1)]
    return [
        Question(pieces, (Dimension.USER,), which, limit)
        for pieces in (whole, odd)
        for which in (Filter(), Filter({Dimension.SERVICE_TYPE: (1, 3)}), Filter(refused=False))
    ]


async def test_callers_are_right_after_their_day_was_made_anew(analytics_stores: AnalyticsStores) -> None:
    store, calls = analytics_stores.usage, _calls()
    await store.record(calls)
    await store.tidy()
    await analytics_stores.damage()
    for day in (yesterday(-24), yesterday()):
        assert await store.rebuild(day.date())
    for question in _questions(2):
        await is_answered_right(store, calls, question)
    later = event(yesterday(7), user_id="u9")
    await store.record([later])
    await store.tidy()
    for question in _questions(9):
        await is_answered_right(store, [*calls, later], question)


async def test_the_calls_of_deleted_people_become_nobodys(analytics_stores: AnalyticsStores) -> None:
    store, ana = analytics_stores.usage, new_id()
    calls = _calls()
    hers = [event(yesterday(number / 2), user_id=ana, service_type=1 + number % 2) for number in range(48)]
    early, late = hers[:30], hers[30:]
    await store.record([*calls, *early])
    await store.tidy()
    # Some of them are counted already and some not, when they become nobody's.
    await store.record(late)
    assert await analytics_stores.deletions.remove(ana)
    left = calls + [one._replace(series=one.series._replace(user_id="")) for one in hers]
    for question in _questions(3):
        await is_answered_right(store, left, question)
    await store.tidy()
    assert await store.rebuild(yesterday().date())
    for question in _questions(3):
        await is_answered_right(store, left, question)


async def test_more_leaders_than_there_are_people_are_all_of_them(analytics_stores: AnalyticsStores) -> None:
    store, calls = analytics_stores.usage, _calls()
    await store.record(calls)
    for question in _questions(10_000):
        assert {one.group for one in await store.sums(question)} == {
            (user_id,) for user_id in ("", "u0", "u1", "u2", "u3", "u4")
        }
    assert list(await store.sums(Question([], (Dimension.USER,), limit=3))) == []
