"""Reports tell what the calls add up to: totals, shares and steps, and what it cost at the prices of the time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.model.events import RecordedEvent
from services.analytics.model.figures import Dimension, Durations, Filter, Group, Question
from services.analytics.model.prices import Price
from services.analytics.model.steps import Bucket, Span
from services.analytics.model.totals import NOTHING, Figures
from services.analytics.usecases.reports import (
    GetServiceAnalytics,
    GetSystemAnalytics,
    GetUsage,
    GetUserAnalytics,
    Report,
)
from services.analytics.usecases.spans import span_of, zone_of
from services.capabilities.metering.model import ServiceType
from tests.fakes.analytics_events import MILLISECOND, event, events_of, moment_of, quantities
from tests.fakes.analytics_exact import exact_figures, prices_over, without_percentiles
from tests.fakes.analytics_memory import MemoryUsageStore
from tests.fakes.analytics_stage import ALICE, FOR_EVER, NOW, Stage, a_price, stage

START = NOW - timedelta(days=2, hours=3)
MODELS = ("", "a", "b", "Ünïcode $.x")
EVENTS = st.lists(events_of(START, NOW), max_size=25)
BUCKETS = st.sampled_from([Bucket.NONE, Bucket.QUARTER_HOUR, Bucket.HOUR, Bucket.DAY])
ZONES = st.sampled_from(["", "Asia/Kathmandu", "America/Lima"])


def a_span(bucket: Bucket = Bucket.NONE, zone: str = "", start: datetime = START) -> Span:
    return span_of(start, NOW, zone, bucket, NOW)


def is_told(figures: Figures, events: Collection[RecordedEvent], prices: Collection[Price]) -> None:
    """Assert that the figures are those of these events."""
    assert without_percentiles(figures) == exact_figures(events, prices)
    begun = [one for one in events if not one.series.refused]
    assert (figures.latency.of if figures.latency else 0) == len(begun)
    streamed = [one for one in begun if one.first_token >= 0]
    assert (figures.first_token.of if figures.first_token else 0) == len(streamed)


def are_told(
    report: Report, span: Span, events: Collection[RecordedEvent], prices: Collection[Price]
) -> None:
    """Assert that totals and steps of the report are those of these events."""
    is_told(report.totals, events, prices)
    assert bool(report.steps) == (span.bucket is not Bucket.NONE)
    for step in report.steps:
        inside = [one for one in events if step.start <= moment_of(one.end_time) < step.end]
        is_told(step.figures, inside, prices)
    if report.steps:
        assert (report.steps[0].start, report.steps[-1].end) == (span.start, span.end)


@settings(max_examples=25)
@given(EVENTS, prices_over(MODELS), BUCKETS, ZONES)
async def test_usage_is_told_to_the_unit_over_time_and_by_service(
    events: list[RecordedEvent], prices: list[Price], bucket: Bucket, zone: str
) -> None:
    on, span = await stage(events, prices), a_span(bucket, zone)
    report = await GetUsage(on.reckon)(span, Filter())
    are_told(report, span, events, prices)
    assert list(report.services) == sorted(report.services, key=lambda one: -report.services[one].events)
    for service, figures in report.services.items():
        is_told(figures, [one for one in events if one.series.service_type == service], prices)
    assert {one.series.service_type for one in events} == set(report.services)


@settings(max_examples=15)
@given(EVENTS, prices_over(MODELS), BUCKETS, st.sampled_from([1, 2, 100]))
async def test_the_system_is_told_with_its_first_models_and_users(
    events: list[RecordedEvent], prices: list[Price], bucket: Bucket, top: int
) -> None:
    on, span = await stage(events, prices), a_span(bucket)
    report = await GetSystemAnalytics(on.reckon, on.usage)(span, top)
    are_told(report, span, events, prices)
    people = {one.series.user_id for one in events} - {""}
    assert report.user_count == len(people)
    assert report.users is not None
    assert len(report.users) == min(top, len(people))
    assert len(report.models) == min(top, len({one.series.model for one in events} - {""}))
    for user, figures in report.users.items():
        assert figures == exact_figures([one for one in events if one.series.user_id == user], prices)
    for model, figures in report.models.items():
        is_told(figures, [one for one in events if one.series.model == model], prices)


async def test_a_person_is_told_what_they_used_and_of_nobody_else() -> None:
    mine = [event(NOW - timedelta(hours=one), model=f"m{one % 2}", user_id="alice") for one in range(1, 6)]
    on = await stage([*mine, event(NOW - timedelta(hours=1), user_id="bob"), event(NOW - timedelta(hours=1))])
    owner, report = await GetUserAnalytics(on.reckon)(ALICE, "", a_span(Bucket.DAY))
    assert owner == "alice"
    are_told(report, report.span, mine, [])
    assert {model: figures.events for model, figures in report.models.items()} == {"m1": 3, "m0": 2}
    assert list(report.models) == ["m1", "m0"]
    assert [figures.events for figures in report.services.values()] == [5]


async def test_a_service_is_told_with_the_reasons_of_its_failures() -> None:
    def failed(reason: str, times: int) -> list[RecordedEvent]:
        return [event(NOW - MILLISECOND, status=2, error_reason=reason) for _ in range(times)]

    chats = [*failed("RATE_LIMITED", 1), *failed("MODEL_NOT_FOUND", 2), event(NOW - MILLISECOND)]
    on = await stage([*chats, event(NOW - MILLISECOND, service_type=2, status=2, error_reason="OTHER")])
    report = await GetServiceAnalytics(on.reckon)(ServiceType.LLM_CHAT, a_span(), 10)
    assert report.error_reasons is not None
    assert {reason: one.events for reason, one in report.error_reasons.items()} == {
        "MODEL_NOT_FOUND": 2,
        "RATE_LIMITED": 1,
    }
    assert (report.totals.events, report.totals.error) == (4, 3)
    first = await GetServiceAnalytics(on.reckon)(ServiceType.LLM_CHAT, a_span(), 1)
    assert list(first.error_reasons or {}) == ["MODEL_NOT_FOUND"]


async def test_anonymous_callers_take_nobodys_place_among_the_first() -> None:
    nobody = [event(NOW - MILLISECOND) for _ in range(9)]
    some = [event(NOW - MILLISECOND, user_id=user) for user in ("a", "b", "b", "c", "c", "c")]
    on = await stage([*nobody, *some])
    for report in (
        await GetSystemAnalytics(on.reckon, on.usage)(a_span(), 2),
        await GetServiceAnalytics(on.reckon)(ServiceType.LLM_CHAT, a_span(), 2),
    ):
        assert {user: one.events for user, one in (report.users or {}).items()} == {"c": 3, "b": 2}


async def test_without_calls_there_are_empty_figures_in_every_step() -> None:
    on, span = await stage(), a_span(Bucket.HOUR)
    report = await GetSystemAnalytics(on.reckon, on.usage)(span, 10)
    assert report.totals == NOTHING
    assert (report.services, report.models, report.users, report.user_count) == ({}, {}, {}, 0)
    assert len(report.steps) == 52
    assert {step.figures for step in report.steps} == {NOTHING}


async def test_a_price_that_changes_within_a_step_costs_each_call_what_was_in_force() -> None:
    change = NOW.replace(minute=17)
    used = quantities(input_tokens=1_000_000)
    events = [event(change - MILLISECOND, used), event(change, used), event(change + MILLISECOND, used)]
    on = await stage(events, [a_price(3), a_price(50, at=change)])
    report = await GetUsage(on.reckon)(a_span(Bucket.HOUR), Filter())
    assert report.totals.cost == 103
    assert [step.figures.cost for step in report.steps if step.figures.events] == [103]


async def test_what_is_told_is_rounded_once() -> None:
    # Three times a third of a nano-USD and a little.
    events = [event(NOW - timedelta(hours=one), quantities(input_tokens=400_000)) for one in (1, 2, 3)]
    on = await stage(events, [a_price(1)])
    report = await GetUsage(on.reckon)(a_span(Bucket.HOUR), Filter())
    assert report.totals.cost == 1
    assert sum(step.figures.cost or 0 for step in report.steps) == 0


async def test_a_cost_is_absent_when_none_is_known_and_counts_what_is_unpriced() -> None:
    unknown = [event(NOW - MILLISECOND, model="nameless") for _ in range(2)]
    nothing = event(NOW - MILLISECOND, quantities(), status=2, refused=True)
    on = await stage([*unknown, nothing], [a_price(7)])
    usage = GetUsage(on.reckon)
    totals = (await usage(a_span(), Filter())).totals
    assert (totals.cost, totals.unpriced) == (None, 2)
    assert (await usage(a_span(), Filter(refused=True))).totals.cost == 0
    await on.usage.record([event(NOW - MILLISECOND, quantities(input_tokens=1_000_000))])
    totals = (await usage(a_span(), Filter())).totals
    assert (totals.cost, totals.unpriced) == (7, 2)


class Busy(MemoryUsageStore):
    """A call ends between two questions, twice."""

    async def durations(
        self, question: Question, groups: Sequence[Group] | None = None
    ) -> Sequence[Durations]:
        if len(self.kept) < 3:
            await self.record([event(NOW - MILLISECOND, user_id="u")])
        return await super().durations(question, groups)


@pytest.mark.parametrize("way", ["usage", "users"])
async def test_counts_and_durations_are_of_the_same_calls(way: str) -> None:
    on = Stage(usage=Busy(event_retention=FOR_EVER))
    await on.usage.record([event(NOW - MILLISECOND, user_id="u")])
    if way == "usage":
        figures = (await GetUsage(on.reckon)(a_span(), Filter())).totals
    else:
        answer, _ = await on.reckon.leaders(a_span(), (Dimension.USER,), Filter(), limit=3)
        figures = answer.reckoned.total()
    assert figures.latency is not None
    assert figures.latency.of == figures.events == 3


async def test_filters_let_through_what_has_one_of_the_values_of_each() -> None:
    events = [
        event(NOW - MILLISECOND, model=model, project=project, user_id=user)
        for model in ("a", "b", "c")
        for project in ("x", "y")
        for user in ("", "u")
    ]
    usage = GetUsage((await stage(events)).reckon)
    which = Filter({Dimension.MODEL: ("a", "b"), Dimension.PROJECT: ("x",)})
    assert (await usage(a_span(), which)).totals.events == 4
    assert (await usage(a_span(), Filter({Dimension.USER: ("",)}))).totals.events == 6
    assert (await usage(a_span(), Filter({Dimension.MODEL: ("d",)}))).totals == NOTHING


async def test_days_are_those_of_the_zone() -> None:
    # In Lima it is still the 9th of March, in Kathmandu the 10th.
    at = datetime(2026, 3, 9, 20, tzinfo=UTC)
    on = await stage([event(at)])
    for zone, day in (("America/Lima", 9), ("Asia/Kathmandu", 10)):
        report = await GetUsage(on.reckon)(a_span(Bucket.DAY, zone), Filter())
        days = [step.start.astimezone(zone_of(zone)).day for step in report.steps if step.figures.events]
        assert days == [day]
