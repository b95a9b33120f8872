"""Figures are what the events add up to, whatever is asked of them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.analytics.model.events import RecordedEvent
from services.analytics.model.figures import Dimension, Filter, Piece, Question
from services.analytics.model.histogram import bucket_of
from services.kernel.ids import new_id
from tests.fakes.analytics_events import DAY, MILLISECOND, QUARTER, event, events_of, midnight, yesterday
from tests.fakes.analytics_stores import AnalyticsStores, answers, is_answered_right

_SPAN = 3 * DAY
_OPERATIONS = ("Chat", "StreamChat")
_VALUES: dict[Dimension, tuple[str | int, ...]] = {
    Dimension.SERVICE_TYPE: (1, 2, 3),
    Dimension.MODEL: ("", "a", "b", "nowhere"),
    Dimension.PROJECT: ("", "a", "Ünïcode $.x"),
    Dimension.PROVIDER: ("", "echo"),
    Dimension.STATUS: (1, 2, 3),
    Dimension.ERROR_REASON: ("", "RATE_LIMITED"),
    Dimension.USER: ("", "u1", "u2", "u3"),
    Dimension.API_KEY: ("", "k1"),
    Dimension.VARIANT: ("", "1024x1024"),
    Dimension.PROVENANCE: (0, 1, 2),
}


def _start() -> datetime:
    return yesterday() - 2 * DAY


@st.composite
def _questions(draw: st.DrawFn) -> Question:
    """Pieces of the span, at edges of intervals and at odd milliseconds, with gaps and without."""
    millis = _SPAN // MILLISECOND
    quarters = st.integers(0, _SPAN // QUARTER).map(lambda number: number * (QUARTER // MILLISECOND))
    minutes = st.integers(0, millis // 60_000).map(lambda number: number * 60_000)
    days = st.integers(0, 3).map(lambda number: number * (DAY // MILLISECOND))
    cuts = draw(st.sets(st.one_of(quarters, minutes, days, st.integers(0, millis)), min_size=2, max_size=7))
    edges = [_start() + cut * MILLISECOND for cut in sorted(cuts)]
    pieces, step = [], 0
    for first, last in itertools.pairwise(edges):
        if draw(st.integers(0, 3)):
            pieces.append(Piece(first, last, step))
        step += draw(st.integers(0, 1))
    dimensions = draw(st.lists(st.sampled_from(list(Dimension)), max_size=3, unique=True))
    filtered = draw(st.sets(st.sampled_from(sorted(_VALUES, key=lambda one: one.name)), max_size=2))
    values = {
        dimension: tuple(draw(st.sets(st.sampled_from(_VALUES[dimension]), min_size=1)))
        for dimension in filtered
    }
    which = Filter(values, draw(st.sampled_from([None, None, True, False])))
    return Question(pieces, tuple(dimensions), which, draw(st.sampled_from([None, 1, 2])))


def _apart(
    token: str, events: list[RecordedEvent], question: Question
) -> tuple[list[RecordedEvent], Question]:
    """The same among operations that no other example has."""
    own = [
        one._replace(series=one.series._replace(operation=f"{token} {one.series.operation}"))
        for one in events
    ]
    values = {
        **question.filter.values,
        Dimension.OPERATION: tuple(f"{token} {operation}" for operation in _OPERATIONS),
    }
    return own, Question(
        question.pieces, question.group_by, Filter(values, question.filter.refused), question.limit
    )


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(
    st.lists(events_of(_start(), _start() + _SPAN), max_size=40),
    st.lists(_questions(), min_size=1, max_size=4),
)
async def test_figures_are_what_the_events_add_up_to(
    analytics_stores: AnalyticsStores, events: list[RecordedEvent], questions: list[Question]
) -> None:
    store, token = analytics_stores.usage, new_id()
    own, _ = _apart(token, events, Question([]))
    await store.record(own[::2])
    await store.record(own[1::2])
    for question in questions:
        await is_answered_right(store, own, _apart(token, [], question)[1])
    await store.tidy()
    await is_answered_right(store, own, _apart(token, [], questions[0])[1])


async def test_a_time_without_pieces_has_no_figures(analytics_stores: AnalyticsStores) -> None:
    await analytics_stores.usage.record([event()])
    assert await answers(analytics_stores.usage, Question([])) == ([], {}, 0)


async def test_pieces_of_minutes_hours_and_days_agree(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    events = [event(yesterday(number * 0.37), user_id=f"u{number % 3}") for number in range(64)]
    await store.record(events)
    for length in (timedelta(minutes=1), QUARTER, timedelta(hours=1), timedelta(hours=5, minutes=45), DAY):
        pieces = [
            Piece(yesterday() + number * length, yesterday() + (number + 1) * length, number)
            for number in range(min(DAY // length, 200))
        ]
        await is_answered_right(store, events, Question(pieces))
        await is_answered_right(store, events, Question(pieces, (Dimension.USER,)))


async def test_the_last_minutes_are_exact(analytics_stores: AnalyticsStores) -> None:
    store, now = analytics_stores.usage, datetime.now(UTC)
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    events = [event(now - number * timedelta(seconds=7), user_id="u1") for number in range(200)]
    await store.record(events)
    for back in (timedelta(seconds=1), timedelta(minutes=3, milliseconds=1), timedelta(hours=1)):
        for end in (now, now + MILLISECOND, now + timedelta(minutes=1)):
            for group_by in ((), (Dimension.USER,)):
                await is_answered_right(store, events, Question([Piece(now - back, end, 0)], group_by))


async def test_the_groups_with_the_most_calls_of_all_pieces_are_told(
    analytics_stores: AnalyticsStores,
) -> None:
    store = analytics_stores.usage
    # In either piece another one is ahead; together it is the second.
    events = [event(yesterday(hour), model=model) for hour, model in ((1, "a"), (20, "c")) for _ in range(5)]
    events += [event(yesterday(hour), model="b", user_id=f"u{hour}") for hour in (1, 20) for _ in range(3)]
    await store.record(events)
    pieces = [Piece(yesterday(), yesterday(12), 0), Piece(yesterday(12), yesterday(24.001), 1)]
    found = await store.sums(Question(pieces, (Dimension.MODEL,), limit=1))
    assert sorted((one.group, one.piece, one.events) for one in found) == [(("b",), 0, 3), (("b",), 1, 3)]
    await is_answered_right(store, events, Question(pieces, (Dimension.MODEL, Dimension.USER), limit=2))


async def test_of_some_groups_only_theirs_are_told(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    await store.record(
        [
            event(yesterday(number % 24), user_id=f"u{number % 5}", model="ab"[number % 2])
            for number in range(60)
        ]
    )
    question = Question(
        (Piece(yesterday(), yesterday(7.5), 0), Piece(yesterday(7.5), yesterday(24), 1)),
        (Dimension.USER, Dimension.MODEL),
        limit=1,
    )
    every = await store.sums(replace(question, limit=None))
    groups = [("u1", "a"), ("u4", "b"), ("nobody", "a")]
    assert sorted(await store.sums(question, groups)) == sorted(one for one in every if one.group in groups)
    assert await store.sums(question, []) == []


async def test_histograms_add_up_over_batches_and_intervals(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    for hour in (1, 2, 30):
        for latency in (0, 1, 1000, 1_000_000):
            await store.record([event(yesterday(hour - 24), latency=latency, first_token=latency - 1)])
    question = Question([Piece(yesterday(-24), yesterday(), 4), Piece(yesterday(), yesterday(24), 5)])
    first, second = sorted(await store.durations(question))
    assert (first.step, first.group, second.step) == (4, (), 5)
    assert first.latency == {bucket_of(latency): 2 for latency in (0, 1, 1000, 1_000_000)}
    # The first token of a call that took no time has none.
    assert first.first_token == {bucket_of(latency): 2 for latency in (0, 999, 999_999)}
    assert sum(second.latency.values()) == 4


async def test_refused_calls_have_no_durations_and_are_counted_apart(
    analytics_stores: AnalyticsStores,
) -> None:
    store = analytics_stores.usage
    events = [
        event(model="a"),
        event(model="a", used=(0,) * 7, status=2, error_reason="RATE_LIMITED", refused=True),
        event(model="b", used=(0,) * 7, status=3, refused=True),
        event(model="b", status=2, error_reason="PROVIDER_FAILED"),
    ]
    await store.record(events)
    pieces = [Piece(yesterday(), yesterday(24), 0)]
    found = await store.sums(Question(pieces, (Dimension.MODEL,)))
    assert sum(one.refused for one in found) == 2
    assert sum(one.error for one in found) == 2
    assert sum(one.cancelled for one in found) == 1
    for refused in (None, True, False):
        await is_answered_right(store, events, Question(pieces, (), Filter(refused=refused)))
    assert list(await store.durations(Question(pieces, (), Filter(refused=True)))) == []


async def test_people_are_counted_once_and_nobody_is_not_one(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    await store.record([event(yesterday(number), user_id=f"u{number % 3}") for number in range(12)])
    await store.record([event(yesterday(number)) for number in range(12)])
    halves = [Piece(yesterday(), yesterday(12), 0), Piece(yesterday(12), yesterday(24), 1)]
    assert await store.user_count(Question(halves)) == 3
    assert await store.user_count(Question(halves, (Dimension.USER, Dimension.MODEL), limit=1)) == 3
    odd = [Piece(yesterday(0.999), yesterday(2.001), 0)]
    assert await store.user_count(Question(odd)) == 2
    assert await store.user_count(Question(halves, (), Filter({Dimension.USER: ("u1", "")}))) == 1


async def test_projects_are_told_apart_whatever_else_is_asked(analytics_stores: AnalyticsStores) -> None:
    store = analytics_stores.usage
    events = [
        event(
            yesterday(number * 0.21),
            project=f"p{number % 7 or ''}",
            user_id=f"u{number % 3 or ''}",
            model=f"m{number % 2}",
        )
        for number in range(120)
    ]
    await store.record(events)
    pieces = [Piece(yesterday(), yesterday(7.3), 0), Piece(yesterday(8), yesterday(25), 1)]
    filters = (
        Filter(),
        Filter({Dimension.PROJECT: ("p1", "", "nowhere")}),
        Filter({Dimension.PROJECT: ("p1", "p2"), Dimension.USER: ("u1", "")}),
        Filter({Dimension.PROJECT: ("p3",)}, refused=False),
    )
    for is_tidied in (False, True):
        if is_tidied:
            await store.tidy()
        for group_by in ((), (Dimension.PROJECT,), (Dimension.MODEL, Dimension.PROJECT, Dimension.USER)):
            for which in filters:
                await is_answered_right(store, events, Question(pieces, group_by, which))
        await is_answered_right(store, events, Question(pieces, (Dimension.PROJECT,), limit=3))


async def test_months_ago_are_told_by_day(analytics_stores: AnalyticsStores) -> None:
    store, start = analytics_stores.usage, midnight(datetime.now(UTC)) - 80 * DAY
    events = [event(start + number * timedelta(hours=7), user_id=f"u{number % 2}") for number in range(200)]
    await store.record(events)
    pieces = [Piece(start + 5 * number * DAY, start + 5 * (number + 1) * DAY, number) for number in range(12)]
    await is_answered_right(store, events, Question(pieces))
    await is_answered_right(store, events, Question(pieces, (Dimension.USER,), limit=1))
    odd = [Piece(start + timedelta(hours=1, milliseconds=7), start + 55 * DAY + timedelta(minutes=7), 0)]
    await is_answered_right(store, events, Question(odd, (Dimension.MODEL,)))
