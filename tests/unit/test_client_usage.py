"""Figures, prices and the books, as both faces of the client call them; what becomes of their streams when a connection breaks."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import grpc
import pytest
from antiphon.analytics.v1 import analytics_pb2
from antiphon.usage.v1 import usage_pb2

from antiphon_client import AsyncClient, Client, Reconnect, Retries, _usage_calls
from antiphon_client._calls import Method
from antiphon_client.errors import PermissionDenied, ResourceExhausted, Unauthenticated, Unreachable
from tests.scripted_accounts import ScriptedAccounts
from tests.scripted_server import BROKEN, EXPIRED, failing, until_the_caller_leaves
from tests.scripted_usage import INPUT, START, ScriptedUsage, figures

QUICK = Retries(first_delay=0.001, max_delay=0.05)
NEEDS_ADMIN = failing(
    grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED", "administrators alone", role="admin"
)
REVOKED = failing(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED", "log in again")
FULL = failing(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "too many watchers", retry_after=0.01)


@pytest.fixture
def server() -> Iterator[ScriptedUsage]:
    with ScriptedUsage() as scripted:
        yield scripted


@pytest.fixture
def client(server: ScriptedUsage) -> Iterator[Client]:
    with Client(server.address, token="ak_1_secret", retries=QUICK) as made:
        yield made


def sent(server: ScriptedAccounts, method: str) -> Any:
    return server.of(method)[-1].request


def watched(calls: int, start: datetime = START) -> analytics_pb2.WatchUsageResponse:
    return analytics_pb2.WatchUsageResponse(start_time=start, figures=figures(calls))


def chunk(text: bytes) -> analytics_pb2.ExportEventsResponse:
    return analytics_pb2.ExportEventsResponse(chunk=text)


def test_a_span_is_sent_as_it_was_said(client: Client, server: ScriptedUsage) -> None:
    west = datetime(2026, 11, 1, 2, tzinfo=timezone(timedelta(hours=-5)))
    client.get_user_analytics(start=west, end=START + timedelta(days=2), time_zone="America/Lima")
    span = sent(server, "GetUserAnalytics").span
    assert span.start_time.ToDatetime(UTC) == west
    assert span.end_time.ToDatetime(UTC) == START + timedelta(days=2)
    assert (span.time_zone, span.bucket) == ("America/Lima", analytics_pb2.BUCKET_UNSPECIFIED)


def test_a_time_without_a_zone_is_this_machine_s(client: Client, server: ScriptedUsage) -> None:
    here = datetime(2026, 11, 1, 2)  # noqa: DTZ001 - what is tested.
    client.get_usage(start=here)
    assert sent(server, "GetUsage").span.start_time.ToDatetime(UTC) == here.astimezone(UTC)


def test_what_is_not_said_is_left_to_the_server(client: Client, server: ScriptedUsage) -> None:
    client.get_system_analytics()
    assert sent(server, "GetSystemAnalytics") == analytics_pb2.GetSystemAnalyticsRequest(
        span=analytics_pb2.TimeSpan()
    )


def test_figures_are_asked_for_by_dimensions_and_filters(client: Client, server: ScriptedUsage) -> None:
    only = analytics_pb2.UsageFilter(models=["echo"])
    server.answers["QueryUsage"] = analytics_pb2.QueryUsageResponse(totals=figures(3))
    answer = client.query_usage(
        [analytics_pb2.DIMENSION_USER, analytics_pb2.DIMENSION_STATUS],
        usage_filter=only,
        order=analytics_pb2.USAGE_ORDER_COST,
        limit=7,
        bucket=analytics_pb2.BUCKET_HOUR,
    )
    assert answer.totals.event_count == 3
    request = sent(server, "QueryUsage")
    assert list(request.group_by) == [analytics_pb2.DIMENSION_USER, analytics_pb2.DIMENSION_STATUS]
    assert (request.filter, request.order, request.limit) == (only, analytics_pb2.USAGE_ORDER_COST, 7)
    client.get_service_analytics(usage_pb2.SERVICE_TYPE_LLM_CHAT, top=3)
    assert sent(server, "GetServiceAnalytics").service_type == usage_pb2.SERVICE_TYPE_LLM_CHAT


def test_a_refusal_is_raised(client: Client, server: ScriptedUsage) -> None:
    server.fail("GetUsage", NEEDS_ADMIN)
    with pytest.raises(PermissionDenied):
        client.get_usage()


def test_figures_are_followed_across_broken_connections_from_the_same_moment(
    client: Client, server: ScriptedUsage
) -> None:
    told: list[Reconnect] = []
    server.plays.append([watched(1), watched(2), BROKEN])
    server.plays.append([FULL])
    # A server that stops in order ends its streams; figures have no end.
    server.plays.append([watched(3)])
    server.plays.append([watched(4), until_the_caller_leaves])
    with client.watch_usage(time_zone="America/Lima", on_reconnect=told.append) as changes:
        assert [next(changes).figures.event_count for _ in range(4)] == [1, 2, 3, 4]
    assert [each.attempt for each in told] == [1, 2, 1]
    assert isinstance(told[1].failure, ResourceExhausted)
    first, *others = (seen.request for seen in server.of("WatchUsage"))
    assert isinstance(first, analytics_pb2.WatchUsageRequest)
    assert not first.HasField("start_time")
    assert all(each.start_time.ToDatetime(UTC) == START for each in others)  # type: ignore[attr-defined]
    assert all(each.time_zone == "America/Lima" for each in others)  # type: ignore[attr-defined]


def test_a_watch_goes_on_with_a_renewed_token(server: ScriptedUsage) -> None:
    server.plays.append([watched(1), EXPIRED])
    server.plays.append([watched(2), until_the_caller_leaves])
    with Client(server.address, retries=QUICK) as client:
        client.login("ana@example.com", "correct horse")
        with client.watch_usage() as changes:
            assert [next(changes).figures.event_count for _ in range(2)] == [1, 2]
    first, second = server.of("WatchUsage")
    assert first.token != second.token


def test_a_watch_ends_with_the_login_that_it_was_begun_with(server: ScriptedUsage) -> None:
    server.plays.append([watched(1), REVOKED])
    server.fail("RefreshToken", REVOKED)
    with Client(server.address, retries=QUICK) as client:
        client.login("ana@example.com", "correct horse")
        with client.watch_usage() as changes:
            assert next(changes).figures.event_count == 1
            with pytest.raises(Unauthenticated) as caught:
                next(changes)
            assert list(changes) == []
    assert caught.value.reason == "TOKEN_REVOKED"
    assert len(server.of("WatchUsage")) == 1


def test_a_watch_ends_with_a_credential_that_can_not_be_renewed(
    client: Client, server: ScriptedUsage
) -> None:
    server.plays.append([watched(1), REVOKED])
    with client.watch_usage() as changes:
        assert next(changes).figures.event_count == 1
        with pytest.raises(Unauthenticated):
            next(changes)
    assert len(server.of("WatchUsage")) == 1


def test_a_watch_is_closed_from_another_thread(client: Client, server: ScriptedUsage) -> None:
    server.plays.append([watched(1), until_the_caller_leaves])
    with client.watch_usage() as changes:
        next(changes)
        closing = threading.Thread(target=changes.close)
        closing.start()
        assert list(changes) == []
        closing.join()
    assert server.of("WatchUsage")[0].ended.wait(10)


def test_a_refused_watch_is_not_sought_again(client: Client, server: ScriptedUsage) -> None:
    server.plays.append([NEEDS_ADMIN])
    with pytest.raises(PermissionDenied):
        next(client.watch_usage(user_id="0198c5a2-0000-7000-8000-0000000000ff"))
    assert len(server.calls) == 1


def test_an_export_comes_in_chunks(client: Client, server: ScriptedUsage) -> None:
    server.plays.append([chunk(b"a,b\r\n"), chunk(b""), chunk(b"1,2\r\n")])
    chunks = client.export_events(
        file_format=analytics_pb2.EXPORT_FORMAT_JSON_LINES, all_users=True, start=START
    )
    assert list(chunks) == [b"a,b\r\n", b"1,2\r\n"]
    request = sent(server, "ExportEvents")
    assert (request.format, request.all_users) == (analytics_pb2.EXPORT_FORMAT_JSON_LINES, True)
    assert request.start_time.ToDatetime(UTC) == START
    assert server.of("ExportEvents")[0].ended.wait(10)


def test_an_export_that_has_not_begun_is_asked_for_again(client: Client, server: ScriptedUsage) -> None:
    server.plays += ([BROKEN], [chunk(b"a\r\n")])
    assert list(client.export_events()) == [b"a\r\n"]


def test_an_export_without_events_is_a_whole_file(client: Client, server: ScriptedUsage) -> None:
    server.plays.append([])
    assert list(client.export_events()) == []
    assert len(server.calls) == 1


def test_an_export_that_breaks_off_says_so_and_never_goes_on(client: Client, server: ScriptedUsage) -> None:
    server.plays += ([chunk(b"a\r\n"), BROKEN], [chunk(b"b\r\n")])
    chunks = client.export_events()
    assert next(chunks) == b"a\r\n"
    with pytest.raises(Unreachable) as caught:
        next(chunks)
    assert "3 bytes" in caught.value.__notes__[0]
    assert list(chunks) == []
    assert len(server.calls) == 1


def test_prices_are_set_and_listed(client: Client, server: ScriptedUsage) -> None:
    first = client.set_price("echo", INPUT, 0, effective=datetime.fromtimestamp(0, UTC))
    assert first.HasField("nano_usd")
    assert sent(server, "SetPrice").HasField("effective_time")
    for number in range(4):
        client.set_price("flux", usage_pb2.UNIT_IMAGES, None, variant=f"{number}x{number}")
    request = sent(server, "SetPrice")
    assert not request.HasField("nano_usd")
    assert not request.HasField("effective_time")
    assert [each.variant for each in client.list_prices(page_size=2, skip=1)] == ["2x2", "1x1", "0x0", ""]
    assert [each.model for each in client.list_prices(model="echo", at=START)] == ["echo"]
    assert sent(server, "ListPrices").at_time.ToDatetime(UTC) == START


def test_the_books_are_compared_and_mended(client: Client, server: ScriptedUsage) -> None:
    balance = analytics_pb2.ServiceBalance(service_type=usage_pb2.SERVICE_TYPE_LLM_CHAT, balanced=True)
    server.answers["Reconcile"] = analytics_pb2.ReconcileResponse(services=[balance])
    server.fail("Reconcile", BROKEN)
    answer = client.reconcile(start=START, service_types=[usage_pb2.SERVICE_TYPE_LLM_CHAT], repair=True)
    assert answer.services[0].balanced
    assert sent(server, "Reconcile").repair
    server.rejected = [analytics_pb2.RejectedEvent(rejected_event_id=str(number)) for number in range(5)]
    assert [each.rejected_event_id for each in client.list_rejected_events(page_size=2)] == list("01234")


async def test_the_asynchronous_client_does_the_same(server: ScriptedUsage) -> None:
    told: list[Reconnect] = []
    server.answers["GetUserAnalytics"] = analytics_pb2.GetUserAnalyticsResponse(totals=figures(9))
    server.rejected = [analytics_pb2.RejectedEvent(rejected_event_id=str(number)) for number in range(3)]
    async with AsyncClient(server.address, token="ak_1_secret", retries=QUICK) as client:
        assert (await client.get_user_analytics(start=START)).totals.event_count == 9
        assert (await client.set_price("echo", INPUT, 5)).nano_usd == 5
        assert [each.nano_usd async for each in client.list_prices(page_size=1)] == [5]
        assert len([each async for each in client.list_rejected_events(page_size=1)]) == 3
        await client.get_service_analytics(usage_pb2.SERVICE_TYPE_LLM_CHAT)
        await client.get_system_analytics(top=3)
        await client.get_usage(bucket=analytics_pb2.BUCKET_DAY)
        await client.query_usage([analytics_pb2.DIMENSION_MODEL])
        await client.reconcile(repair=True)
        server.plays += ([watched(1), BROKEN], [watched(2), until_the_caller_leaves])
        async with client.watch_usage(on_reconnect=told.append) as changes:
            assert [(await anext(changes)).figures.event_count for _ in range(2)] == [1, 2]
        server.plays += ([BROKEN], [chunk(b"a"), chunk(b"b")], [chunk(b"c"), BROKEN], [chunk(b"d")])
        assert [each async for each in client.export_events()] == [b"a", b"b"]
        chunks = client.export_events()
        assert await anext(chunks) == b"c"
        with pytest.raises(Unreachable):
            await anext(chunks)
        assert [each async for each in chunks] == []
    assert [each.attempt for each in told] == [1]


def test_every_rpc_of_analytics_for_people_has_a_verb() -> None:
    paths = {
        method.path.rpartition("/")[2] for method in vars(_usage_calls).values() if isinstance(method, Method)
    }
    service = analytics_pb2.DESCRIPTOR.services_by_name["AnalyticsService"]
    assert paths == {method.name for method in service.methods} - {"RecordEvents"}
