"""What the contract's messages say is what is understood, and what is known is what they say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from antiphon.analytics.v1 import analytics_pb2
from antiphon.usage.v1 import usage_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from services.analytics.mapping.events import event_to_proto, rejected_to_proto, submitted
from services.analytics.mapping.figures import (
    balance_to_proto,
    figures_to_proto,
    group_to_proto,
    price_to_proto,
    shares_to_proto,
    span_to_proto,
    steps_to_proto,
)
from services.analytics.mapping.names import name_of
from services.analytics.mapping.requests import dimensions, filter_of, moment, span
from services.analytics.model.balances import NOTHING, Account, Tally
from services.analytics.model.events import UNITS, RecordedEvent
from services.analytics.model.figures import Dimension
from services.analytics.model.prices import PriceSource
from services.analytics.model.steps import Bucket, Span
from services.analytics.model.totals import Figures, Percentiles
from services.analytics.usecases.judging import judged
from services.analytics.usecases.reconcile import Balance, Difference
from services.analytics.usecases.reports import Step, Told
from services.analytics.usecases.spans import whole_millis, zone_of
from services.capabilities.metering.model import Provenance, ServiceType, Unit, UsageStatus
from services.kernel.errors import InvalidArgument
from tests.fakes.analytics_events import MILLISECOND, events_of, micros, quantities, rejected
from tests.fakes.analytics_stage import FOR_EVER, NOW, a_price

MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
AMOUNTS = st.tuples(*[st.integers(0, 2**62)] * len(UNITS))
COUNTS = st.integers(0, 2**62)
PERCENTILES = st.none() | st.builds(Percentiles, COUNTS, *[st.integers(0, 32 * 86_400_000_000)] * 3)
FIGURES = st.builds(
    Figures, *[COUNTS] * 5, AMOUNTS, st.none() | st.integers(0, 2**63 - 1), COUNTS, PERCENTILES, PERCENTILES
)


@settings(max_examples=40)
@given(events_of(NOW - timedelta(days=3), NOW))
def test_an_event_that_is_told_again_is_the_same(event: RecordedEvent) -> None:
    (again,) = submitted([event_to_proto(event)])
    assert judged(again, micros(NOW), micros(NOW - FOR_EVER)) == event


@given(MOMENTS, st.integers(1, 3660 * 86_400_000), st.sampled_from(["UTC", "Asia/Kathmandu"]))
def test_a_span_that_is_asked_for_again_is_the_same(at: datetime, millis: int, zone: str) -> None:
    start = whole_millis(at)
    found = Span(start, start + millis * MILLISECOND, zone_of(zone))
    assert span(span_to_proto(found), NOW) == found


@given(FIGURES)
def test_figures_are_told_as_they_are(figures: Figures) -> None:
    message = figures_to_proto(figures)
    counts = (
        message.event_count,
        message.success_count,
        message.error_count,
        message.cancelled_count,
        message.refused_count,
    )
    assert counts == (figures.events, figures.success, figures.error, figures.cancelled, figures.refused)
    assert message.unpriced_event_count == figures.unpriced
    assert {one.unit: one.amount for one in message.quantities} == {
        unit.value: amount for unit, amount in zip(UNITS, figures.quantities, strict=True) if amount
    }
    assert (message.cost_nano_usd if message.HasField("cost_nano_usd") else None) == figures.cost
    for name, told in (("latency", figures.latency), ("time_to_first_token", figures.first_token)):
        assert message.HasField(name) == (told is not None)
        if told is not None:
            found = getattr(message, name)
            assert found.count == told.of
            assert [one.ToMicroseconds() for one in (found.p50, found.p90, found.p99)] == list(told[1:])


def test_a_cost_that_no_message_holds_is_told_as_the_highest() -> None:
    assert figures_to_proto(Figures(cost=10**27)).cost_nano_usd == 2**63 - 1


@pytest.mark.parametrize(
    ("mine", "contract", "prefix"),
    [
        (ServiceType, usage_pb2.ServiceType, "SERVICE_TYPE_"),
        (UsageStatus, usage_pb2.UsageStatus, "USAGE_STATUS_"),
        (Unit, usage_pb2.Unit, "UNIT_"),
        (PriceSource, analytics_pb2.PriceSource, "PRICE_SOURCE_"),
    ],
)
def test_numbers_are_those_of_the_contract(mine: Any, contract: Any, prefix: str) -> None:
    stated = {name.removeprefix(prefix): number for name, number in contract.items() if number}
    assert {one.name: one.value for one in mine} == stated


def test_steps_are_those_of_the_contract() -> None:
    stated = {name.removeprefix("BUCKET_"): number for name, number in analytics_pb2.Bucket.items()}
    assert {one.name: one.value for one in Bucket} == {"NONE": stated.pop("UNSPECIFIED"), **stated}


def test_every_dimension_of_the_contract_is_known() -> None:
    stated = {
        number: name.removeprefix("DIMENSION_") for name, number in analytics_pb2.Dimension.items() if number
    }
    assert {number: one.name for number, one in zip(stated, dimensions(stated), strict=True)} == stated
    assert {one.name for one in Dimension} == set(stated.values())


def test_numbers_are_told_by_the_names_that_people_know() -> None:
    assert [name_of(Dimension.SERVICE_TYPE, one.value) for one in ServiceType] == [
        "llm_chat",
        "text_to_image",
        "text_to_speech",
    ]
    assert [name_of(Dimension.STATUS, one.value) for one in UsageStatus] == ["success", "error", "cancelled"]
    assert [name_of(Dimension.PROVENANCE, one.value) for one in Provenance] == [
        "",
        "reported",
        "estimated",
        "measured",
    ]
    assert name_of(Dimension.MODEL, "1") == "1"
    assert name_of(Dimension.SERVICE_TYPE, 9) == "9"


def test_a_filter_is_understood_field_by_field() -> None:
    message = analytics_pb2.UsageFilter(
        service_types=[usage_pb2.SERVICE_TYPE_LLM_CHAT],
        operations=["Chat"],
        models=["A", ""],
        providers=["p"],
        projects=["x"],
        statuses=[usage_pb2.USAGE_STATUS_ERROR],
        error_reasons=["R"],
        user_ids=["ABC", ""],
        api_key_ids=["K"],
        variants=["v"],
        refused=False,
    )
    found = filter_of(message)
    assert found.refused is False
    assert found.values == {
        Dimension.SERVICE_TYPE: (1,),
        Dimension.OPERATION: ("Chat",),
        Dimension.MODEL: ("A", ""),
        Dimension.PROVIDER: ("p",),
        Dimension.PROJECT: ("x",),
        Dimension.STATUS: (2,),
        Dimension.ERROR_REASON: ("R",),
        Dimension.USER: ("abc", ""),
        Dimension.API_KEY: ("k",),
        Dimension.VARIANT: ("v",),
    }


def test_an_empty_filter_lets_everything_through() -> None:
    found = filter_of(analytics_pb2.UsageFilter())
    assert (found.values, found.refused) == ({}, None)


@pytest.mark.parametrize("field", ["operations", "models", "projects", "user_ids", "variants"])
def test_a_filter_for_what_no_call_can_have_is_refused(field: str) -> None:
    message = analytics_pb2.UsageFilter()
    getattr(message, field).append("a\0")
    with pytest.raises(InvalidArgument) as refused:
        filter_of(message)
    assert refused.value.violations[0].field == f"filter.{field}"


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(2**63 - 1, 0), (-(2**63), 0), (253_402_300_800, 0), (-62_135_596_801, 0), (0, -1), (0, 10**9)],
)
def test_what_is_no_time_is_refused(seconds: int, nanos: int) -> None:
    message = analytics_pb2.TimeSpan(end_time=Timestamp(seconds=seconds, nanos=nanos))
    with pytest.raises(InvalidArgument) as refused:
        span(message, NOW)
    assert refused.value.violations[0].field == "span.end_time"


def test_a_time_that_is_not_given_is_none() -> None:
    message = analytics_pb2.WatchUsageRequest()
    assert moment("start_time", message) is None
    message.start_time.FromDatetime(NOW)
    assert moment("start_time", message) == NOW


@given(st.none() | st.integers(0, 10**15), MOMENTS)
def test_a_price_is_told_as_it_is(nano_usd: int | None, at: datetime) -> None:
    price = a_price(nano_usd, unit=Unit.IMAGES, variant="1024x1024", at=at)
    message = price_to_proto(price)
    assert (message.nano_usd if message.HasField("nano_usd") else None) == nano_usd
    assert message.effective_time.ToDatetime(tzinfo=UTC) == at
    assert message.create_time.ToDatetime(tzinfo=UTC) == NOW
    assert (message.model, message.unit, message.variant) == ("echo", usage_pb2.UNIT_IMAGES, "1024x1024")
    assert (message.price_id, message.source) == (price.price_id, analytics_pb2.PRICE_SOURCE_CATALOG)


def test_shares_groups_and_steps_carry_their_names_and_times() -> None:
    later = NOW + timedelta(hours=1)
    (share,) = shares_to_proto(Dimension.SERVICE_TYPE, {2: Figures(3)})
    assert (share.name, share.figures.event_count) == ("text_to_image", 3)
    assert shares_to_proto(Dimension.USER, None) == []
    (step,) = steps_to_proto([Step(NOW, later, Figures(4))])
    assert (step.start_time.ToDatetime(tzinfo=UTC), step.end_time.ToDatetime(tzinfo=UTC)) == (NOW, later)
    by = (Dimension.STATUS, Dimension.MODEL)
    group = group_to_proto(by, Told((3, "m"), Figures(4), [Step(NOW, later, Figures(4))]))
    assert (list(group.values), group.figures.event_count) == (["cancelled", "m"], 4)
    assert [one.figures.event_count for one in group.steps] == [4]


def test_a_balance_tells_what_differs_up_to_a_thousand() -> None:
    less = Tally(-1, tuple(-one for one in quantities(images=3)))
    one = Difference(Account("u", "m", 2), Tally(1, quantities(images=2)), NOTHING, less)
    balance = Balance(
        ServiceType.LLM_CHAT,
        Tally(5, quantities()),
        Tally(4, quantities()),
        Tally(3, quantities()),
        2,
        (one,) * 1001,
    )
    message = balance_to_proto(replace(balance, redelivered=6, rebuilt_days=7, note="why"))
    assert not message.balanced
    assert (message.service_event_count, message.event_count, message.figure_event_count) == (5, 4, 3)
    assert (message.pending_event_count, message.redelivered_event_count) == (2, 6)
    assert (message.rebuilt_day_count, message.note, len(message.differences)) == (7, "why", 1000)
    told = message.differences[0]
    assert (told.user_id, told.model, told.status) == ("u", "m", usage_pb2.USAGE_STATUS_ERROR)
    assert [each.amount for each in told.service.quantities] == [2]
    assert [each.amount for each in told.figures.quantities] == [-3]
    assert (told.events.event_count, list(told.events.quantities), told.figures.event_count) == (0, [], -1)
    assert balance_to_proto(replace(balance, differences=())).balanced


def test_a_bad_item_that_can_not_be_read_is_told_without_its_event() -> None:
    assert rejected_to_proto(rejected()).HasField("event")
    broken = rejected_to_proto(rejected(payload=b"\xff\xff"))
    assert not broken.HasField("event")
    assert [one.field for one in broken.violations] == ["operation", "quantities[0].amount"]
