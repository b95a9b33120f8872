"""One's own figures are for oneself, everybody's for administrators."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from antiphon.analytics.v1 import analytics_pb2
from antiphon.auth.v1 import api_key_pb2

from services.kernel.ids import new_id
from tests.fakes.analytics_calls import EVERYTHING, record, told, told_at, usage_of
from tests.fakes.served_suite import Metadata, Person, Served, bearer, failure

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def suite_services() -> Sequence[str]:
    return EVERYTHING


async def exported(suite: Served, metadata: Metadata, **fields: Any) -> str:
    call = suite.analytics.ExportEvents(analytics_pb2.ExportEventsRequest(**fields), metadata=metadata)
    return b"".join([response.chunk async for response in call]).decode()


async def key_of_administrator(suite: Served, *scopes: str) -> Metadata:
    made = await suite.api_keys.CreateApiKey(
        api_key_pb2.CreateApiKeyRequest(display_name="a key", scopes=scopes),
        metadata=await suite.administrator(),
    )
    return bearer(made.secret)


async def test_others_figures_are_for_administrators(suite: Served, ana: Person, ben: Person) -> None:
    await record(suite, told(user_id=ana.user_id))
    asked = analytics_pb2.GetUserAnalyticsRequest(user_id=ana.user_id)
    failed = await failure(suite.analytics.GetUserAnalytics(asked, metadata=ben.metadata))
    assert failed.what == ("PERMISSION_DENIED", "ROLE_REQUIRED")
    found = await suite.analytics.GetUserAnalytics(asked, metadata=await suite.administrator())
    assert found.totals.event_count == 1
    assert (await usage_of(suite, ben)).totals.event_count == 0


async def test_an_administrators_key_needs_the_scope_for_others(suite: Served, ana: Person) -> None:
    await record(suite, told(user_id=ana.user_id))
    asked = analytics_pb2.GetUserAnalyticsRequest(user_id=ana.user_id)
    narrow = await key_of_administrator(suite, "analytics.self")
    failed = await failure(suite.analytics.GetUserAnalytics(asked, metadata=narrow))
    assert failed.what == ("PERMISSION_DENIED", "SCOPE_REQUIRED")
    assert failed.metadata == {"scope": "analytics.read"}
    wide = await key_of_administrator(suite, "analytics.self", "analytics.read")
    found = await suite.analytics.GetUserAnalytics(asked, metadata=wide)
    assert found.totals.event_count == 1


async def test_an_export_has_ones_own_events_alone(suite: Served, ana: Person, ben: Person) -> None:
    mine = [
        told(user_id=ana.user_id, project=text, session_id=new_id())
        for text in ("=1+1", 'a "b", c\nd', "ñ 😀")
    ]
    await record(suite, *mine, told(user_id=ben.user_id))
    text = await exported(suite, ana.metadata)
    assert text.count("\r\n") == 4
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["event_id"] for row in rows] == [event.event_id for event in mine]
    assert [row["project"] for row in rows] == ["'=1+1", 'a "b", c\nd', "ñ 😀"]
    assert {row["user_id"] for row in rows} == {ana.user_id}
    lines = await exported(suite, ana.metadata, format=analytics_pb2.EXPORT_FORMAT_JSON_LINES)
    assert [json.loads(line)["project"] for line in lines.splitlines()] == [event.project for event in mine]


async def test_an_export_pages_through_many_events(suite: Served, ana: Person) -> None:
    moment = datetime.now(UTC) - timedelta(hours=1)
    events = [told_at(moment, user_id=ana.user_id) for _ in range(1_200)]
    await record(suite, *events)
    rows = list(csv.DictReader(io.StringIO(await exported(suite, ana.metadata), newline="")))
    assert [row["event_id"] for row in rows] == sorted(event.event_id for event in events)


async def test_an_export_of_all_is_for_administrators(suite: Served, ana: Person) -> None:
    event = told(user_id=ana.user_id)
    await record(suite, event)
    failed = await failure(
        suite.analytics.ExportEvents(analytics_pb2.ExportEventsRequest(all_users=True), metadata=ana.metadata)
    )
    assert failed.code is grpc.StatusCode.PERMISSION_DENIED
    assert event.event_id in await exported(suite, await suite.administrator(), all_users=True)


async def test_nothing_to_export_is_a_file_with_a_header(suite: Served, ana: Person) -> None:
    text = await exported(suite, ana.metadata)
    assert text.startswith("event_id,end_time,")
    assert text.count("\n") == 1
    assert await exported(suite, ana.metadata, format=analytics_pb2.EXPORT_FORMAT_JSON_LINES) == ""


@pytest.mark.parametrize(
    ("span", "field"),
    [
        ({"time_zone": "America"}, "span.time_zone"),
        ({"time_zone": "../../etc/passwd"}, "span.time_zone"),
        ({"time_zone": "Mars/Olympus"}, "span.time_zone"),
        ({"bucket": analytics_pb2.BUCKET_MINUTE}, "span.bucket"),
        ({"bucket": 99}, "span.bucket"),
        ({"start_time": {"seconds": 4_000_000_000}}, "span.end_time"),
        ({"start_time": {"seconds": 10**17}}, "span.start_time"),
    ],
)
async def test_a_span_that_is_none_is_told_what_is_wrong(
    suite: Served, ana: Person, span: dict[str, Any], field: str
) -> None:
    failed = await failure(
        suite.analytics.GetUserAnalytics(
            analytics_pb2.GetUserAnalyticsRequest(span=analytics_pb2.TimeSpan(**span)), metadata=ana.metadata
        )
    )
    assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failed.fields == (field,)


async def test_a_query_that_is_too_much_is_refused(suite: Served) -> None:
    request = analytics_pb2.QueryUsageRequest(
        span=analytics_pb2.TimeSpan(bucket=analytics_pb2.BUCKET_HOUR),
        group_by=[analytics_pb2.DIMENSION_USER],
        limit=1000,
    )
    failed = await failure(suite.analytics.QueryUsage(request, metadata=await suite.administrator()))
    assert failed.fields == ("limit",)
    request.group_by.extend([analytics_pb2.DIMENSION_MODEL] * 2)
    failed = await failure(suite.analytics.QueryUsage(request, metadata=await suite.administrator()))
    assert failed.fields == ("group_by",)
