"""QueryUsage tells figures by dimensions: the first groups in the order that was asked for, and the totals of all."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.model.events import RecordedEvent
from services.analytics.model.figures import Dimension, Filter, Group
from services.analytics.model.prices import Price
from services.analytics.model.steps import Bucket, Span
from services.analytics.model.totals import NOTHING, Figures
from services.analytics.usecases.reports import QueryUsage, Told
from services.analytics.usecases.spans import span_of
from services.capabilities.metering.model import Unit
from services.kernel.errors import InvalidArgument
from tests.fakes.analytics_events import MILLISECOND, event, events_of, moment_of, quantities
from tests.fakes.analytics_exact import exact_figures, prices_over, without_percentiles
from tests.fakes.analytics_stage import NOW, Stage, a_price, stage

START = NOW - timedelta(days=2)
MODELS = ("", "a", "b", "Ünïcode $.x")
MODEL = (Dimension.MODEL,)


def a_span(bucket: Bucket = Bucket.NONE) -> Span:
    return span_of(START, NOW, "", bucket, NOW)


async def query(
    on: Stage,
    group_by: tuple[Dimension, ...] = MODEL,
    *,
    bucket: Bucket = Bucket.NONE,
    limit: int = 100,
    by_cost: bool = False,
    which: Filter | None = None,
) -> tuple[Figures, list[Told], bool]:
    return await QueryUsage(on.reckon)(
        a_span(bucket), group_by, which or Filter(), limit=limit, by_cost=by_cost
    )


async def names(on: Stage, *, by_cost: bool = False, limit: int = 100) -> list[Group]:
    _, told, _ = await query(on, by_cost=by_cost, limit=limit)
    return [one.group for one in told]


def grouped(events: list[RecordedEvent], group_by: tuple[Dimension, ...]) -> dict[Group, list[RecordedEvent]]:
    found: dict[Group, list[RecordedEvent]] = defaultdict(list)
    for one in events:
        found[tuple(getattr(one.series, dimension.value) for dimension in group_by)].append(one)
    return found


@settings(max_examples=25)
@given(
    st.lists(events_of(START, NOW), max_size=25),
    prices_over(MODELS),
    st.lists(st.sampled_from(list(Dimension)), max_size=3, unique=True).map(tuple),
    st.sampled_from([Bucket.NONE, Bucket.HOUR]),
    st.booleans(),
    st.sampled_from([1, 3, 100]),
)
async def test_groups_and_their_steps_are_told_to_the_unit(
    events: list[RecordedEvent],
    prices: list[Price],
    group_by: tuple[Dimension, ...],
    bucket: Bucket,
    by_cost: bool,
    limit: int,
) -> None:
    on = await stage(events, prices)
    totals, told, more = await query(on, group_by, bucket=bucket, limit=limit, by_cost=by_cost)
    groups = grouped(events, group_by)
    if not group_by:
        groups[()] = events
    assert without_percentiles(totals) == exact_figures(events, prices)
    assert (len(told), more) == (min(limit, len(groups)), len(groups) > limit)
    for one in told:
        assert without_percentiles(one.figures) == exact_figures(groups[one.group], prices)
        assert bool(one.steps) == (bucket is not Bucket.NONE and bool(groups[one.group]))
        for step in one.steps:
            inside = [each for each in groups[one.group] if step.start <= moment_of(each.end_time) < step.end]
            assert inside
            assert without_percentiles(step.figures) == exact_figures(inside, prices)
        assert sum(step.figures.events for step in one.steps) == (len(groups[one.group]) if one.steps else 0)


async def test_the_groups_with_the_most_calls_come_first() -> None:
    on = await stage([event(NOW - MILLISECOND, model=model) for model in "abbcccdddd"])
    assert await names(on) == [("d",), ("c",), ("b",), ("a",)]
    assert await names(on, limit=2) == [("d",), ("c",)]


async def test_the_dearest_groups_come_first_and_those_of_unknown_cost_last() -> None:
    events = [event(NOW - MILLISECOND, quantities(images=1), model=model) for model in "aabbbcdddd"]
    free = event(NOW - MILLISECOND, quantities(), model="free")
    prices = {"a": 50, "b": 10, "c": 120}
    on = await stage([*events, free], [a_price(nano, model, Unit.IMAGES) for model, nano in prices.items()])
    assert await names(on, by_cost=True) == [("c",), ("a",), ("b",), ("free",), ("d",)]
    assert await names(on, by_cost=True, limit=1) == [("c",)]


async def test_whether_there_are_more_groups_is_told() -> None:
    on = await stage([event(NOW - MILLISECOND, model=model) for model in "abc"])
    assert (await query(on, limit=2))[2]
    assert not (await query(on, limit=3))[2]


async def test_totals_count_the_groups_past_the_limit() -> None:
    on = await stage([event(NOW - MILLISECOND, model=model) for model in "abbc"])
    totals, (first,), more = await query(on, limit=1)
    assert (totals.events, first.figures.events, more) == (4, 2, True)


async def test_without_dimensions_there_are_totals_over_time() -> None:
    on = await stage([event(NOW - timedelta(hours=hours)) for hours in (1, 1, 5)])
    totals, (all_of_it,), more = await query(on, (), bucket=Bucket.HOUR)
    assert (all_of_it.group, all_of_it.figures, more) == ((), totals, False)
    assert [step.figures.events for step in all_of_it.steps] == [1, 2]


async def test_without_calls_there_are_no_groups() -> None:
    assert await query(await stage()) == (NOTHING, [], False)
    totals, (all_of_it,), _ = await query(await stage(), ())
    assert (totals, all_of_it.figures, all_of_it.steps) == (NOTHING, NOTHING, [])


async def test_percentiles_are_those_of_the_groups_that_are_told() -> None:
    fast = [event(NOW - MILLISECOND, model="fast", latency=1000) for _ in range(10)]
    slow = [event(NOW - MILLISECOND, model="slow", latency=9_000_000, first_token=-1) for _ in range(2)]
    _, (first,), _ = await query(await stage([*fast, *slow]), limit=1)
    assert first.figures.latency is not None
    assert first.figures.latency.of == 10
    assert first.figures.latency.p99 == pytest.approx(1000, rel=0.02)
    totals, (_, second), _ = await query(await stage([*fast, *slow]))
    assert second.figures.first_token is None
    assert totals.latency is not None
    assert totals.latency.p99 == pytest.approx(9_000_000, rel=0.02)


async def test_more_figures_than_can_be_told_at_once_are_refused() -> None:
    # 48 hours, of which each group would have as many steps.
    on = await stage()
    with pytest.raises(InvalidArgument) as refused:
        await query(on, bucket=Bucket.HOUR, limit=500)
    assert refused.value.violations[0].field == "limit"
    await query(on, bucket=Bucket.HOUR, limit=400)
    await query(on, (), bucket=Bucket.HOUR, limit=1000)
    await query(on, limit=1000)
