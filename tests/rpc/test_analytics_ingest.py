"""Services deliver events: each counts once, and bad ones stop nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from antiphon.analytics.v1 import analytics_pb2
from antiphon.usage.v1 import usage_pb2

from services.kernel.ids import new_id
from tests.fakes.analytics_calls import EVERYTHING, amounts, record, service_metadata, told, told_at, usage_of
from tests.fakes.served_suite import Person, Served, failure

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def suite_services() -> Sequence[str]:
    return EVERYTHING


async def test_a_batch_that_is_sent_a_hundred_times_at_once_counts_once(suite: Served, ana: Person) -> None:
    events = [told(user_id=ana.user_id) for _ in range(50)]
    answers = await asyncio.gather(*(record(suite, *events) for _ in range(100)))
    assert sum(answer.accepted_count for answer in answers) == 50
    assert sum(answer.known_count for answer in answers) == 99 * 50
    totals = (await usage_of(suite, ana)).totals
    assert totals.event_count == 50
    assert amounts(totals) == {"input_tokens": 5000, "output_tokens": 1000}


async def test_the_good_of_ten_thousand_are_stored_and_each_bad_one_is_answered(
    suite: Served, ana: Person
) -> None:
    bad = {
        10: ("event_id", told_at(datetime(1970, 1, 2, tzinfo=UTC))),
        500: ("event_id", told_at(datetime(2600, 1, 1, tzinfo=UTC))),
        501: ("event_id", told(event_id="4b0a4e7e-9f9d-4a52-9bd1-1ad9b7cf1d3b")),
        1999: ("service_type", told(service_type=77)),
        2000: ("status", told(status=12)),
        5000: ("provenance", told(provenance=99)),
        7000: ("quantities[0].amount", told()),
        7001: ("quantities[1].unit", told()),
        7002: ("latency", told()),
        7003: ("start_time", told()),
        9999: ("model", told(model="m" * 257)),
    }
    bad[7000][1].quantities[0].amount = -5
    bad[7001][1].quantities[1].unit = 1000  # type: ignore[assignment]
    bad[7002][1].ClearField("latency")
    bad[7003][1].start_time.seconds = -(10**15)
    good = [told(user_id=ana.user_id) for _ in range(10_000)]
    answer = await record(suite, *(bad[n][1] if n in bad else event for n, event in enumerate(good)))
    assert answer.accepted_count == 10_000 - len(bad)
    assert [(item.index, item.event_id) for item in answer.rejected] == [
        (index, event.event_id) for index, (_, event) in bad.items()
    ]
    assert [item.violations[0].field for item in answer.rejected] == [field for field, _ in bad.values()]
    assert (await usage_of(suite, ana)).totals.event_count == 10_000 - len(bad)
    # They are kept for inspection as they came.
    admin = await suite.administrator()
    kept = await suite.analytics.ListRejectedEvents(
        analytics_pb2.ListRejectedEventsRequest(page_size=100), metadata=admin
    )
    by_id = {one.event.event_id: one for one in kept.rejected_events}
    for _, event in bad.values():
        assert by_id[event.event_id].event == event
        assert by_id[event.event_id].source == "chat"


async def test_a_late_event_counts_in_its_own_interval(suite: Served, ana: Person) -> None:
    now = datetime.now(UTC)
    late = now - timedelta(days=40)
    await record(suite, told_at(late, user_id=ana.user_id), told_at(now, user_id=ana.user_id))
    span = analytics_pb2.TimeSpan(bucket=analytics_pb2.BUCKET_DAY, time_zone="Asia/Kathmandu")
    span.start_time.FromDatetime(now - timedelta(days=50))
    found = await usage_of(suite, ana, span)
    days = [step.start_time.ToDatetime(tzinfo=UTC) for step in found.steps if step.figures.event_count]
    assert len(days) == 2
    assert days[0] <= late < days[0] + timedelta(days=1)


async def test_an_event_without_a_start_is_told_what_it_lacks(suite: Served) -> None:
    event = told()
    event.ClearField("start_time")
    answer = await record(suite, event)
    (item,) = answer.rejected
    assert (item.violations[0].field, item.violations[0].description) == ("start_time", "is missing")


async def test_a_batch_has_at_least_one_event_and_at_most_ten_thousand(suite: Served) -> None:
    for events in ([], [usage_pb2.UsageEvent()] * 10_001):
        failed = await failure(
            suite.analytics.RecordEvents(
                analytics_pb2.RecordEventsRequest(events=events), metadata=service_metadata()
            )
        )
        assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
        assert failed.fields == ("events",)


async def test_only_services_deliver(suite: Served, ana: Person) -> None:
    request = analytics_pb2.RecordEventsRequest(events=[told()])
    admin = await suite.administrator()
    for metadata in (ana.metadata, admin):
        failed = await failure(suite.analytics.RecordEvents(request, metadata=metadata))
        assert failed.what == ("PERMISSION_DENIED", "ROLE_REQUIRED")


async def test_an_id_counts_whatever_its_letters_case(suite: Served, ana: Person) -> None:
    event = told(user_id=ana.user_id, event_id=new_id())
    loud = usage_pb2.UsageEvent()
    loud.CopyFrom(event)
    loud.event_id = event.event_id.upper()
    answer = await record(suite, event, loud)
    assert (answer.accepted_count, answer.known_count) == (1, 1)
