"""What people use in Chat is theirs to see within seconds, whatever became of the call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import grpc
import pytest
from antiphon.analytics.v1 import analytics_pb2
from antiphon.auth.v1 import auth_pb2
from antiphon.chat.v1 import chat_pb2
from antiphon.usage.v1 import usage_pb2

from tests.fakes.analytics_calls import EVERYTHING, amounts, counted, shares
from tests.fakes.chat_stage import Stage
from tests.fakes.served_suite import Person, Served, bearer, failure, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def suite_services() -> Sequence[str]:
    return EVERYTHING


async def test_an_answer_is_counted_with_what_it_used(suite: Served, ana: Person) -> None:
    answer = await suite.chat.Chat(
        chat_pb2.ChatRequest(message="one two three", model="echo", project="demo"), metadata=ana.metadata
    )
    found = await counted(suite, ana, 1)
    assert found.user_id == ana.user_id
    assert (found.totals.success_count, found.totals.error_count) == (1, 0)
    assert list(found.totals.quantities) == list(answer.generation.usage.quantities)
    assert found.totals.latency.count == 1
    assert found.totals.time_to_first_token.count == 1
    assert shares(found.services) == {"llm_chat": 1}
    assert shares(found.models) == {"echo": 1}


async def test_a_replayed_call_is_counted_once(suite: Served, ana: Person) -> None:
    request = chat_pb2.ChatRequest(
        message="again", model="echo", request_id="7e3fe4a9-04ea-4d3c-b1b2-7ce3a8de3c10"
    )
    answers = [await suite.chat.Chat(request, metadata=ana.metadata) for _ in range(3)]
    assert len({answer.generation.generation_id for answer in answers}) == 1
    # Behind it a call whose event is the last one.
    await suite.chat.Chat(chat_pb2.ChatRequest(message="last", model="echo"), metadata=ana.metadata)
    await counted(suite, ana, 2)


async def test_a_call_that_is_refused_is_counted_with_its_reason(suite: Served, ana: Person) -> None:
    failed = await failure(
        suite.chat.StreamChat(
            chat_pb2.StreamChatRequest(message="hello", model="no-such-model"), metadata=ana.metadata
        )
    )
    assert failed.reason == "MODEL_NOT_FOUND"
    found = await counted(suite, ana, 1)
    totals = found.totals
    assert (totals.error_count, totals.refused_count, totals.success_count) == (1, 1, 0)
    # What callers make up is no model.
    assert shares(found.models) == {}
    assert not totals.quantities
    assert totals.cost_nano_usd == 0
    assert not totals.HasField("latency")


async def test_an_answer_that_failed_is_counted_as_such(suite: Served, model: Stage, ana: Person) -> None:
    failed = await failure(
        suite.chat.Chat(chat_pb2.ChatRequest(message="hello", model="away"), metadata=ana.metadata)
    )
    assert failed.code is grpc.StatusCode.UNAVAILABLE
    found = await counted(suite, ana, 1)
    assert (found.totals.error_count, found.totals.refused_count) == (1, 0)


async def test_watching_tells_of_a_call_within_two_seconds_of_its_end(suite: Served, ana: Person) -> None:
    watch = suite.analytics.WatchUsage(analytics_pb2.WatchUsageRequest(), metadata=ana.metadata)
    first: analytics_pb2.WatchUsageResponse = await anext(aiter(watch))
    assert first.figures.event_count == 0
    await suite.chat.Chat(chat_pb2.ChatRequest(message="hello", model="echo"), metadata=ana.metadata)
    async with asyncio.timeout(10):
        second: analytics_pb2.WatchUsageResponse = await anext(aiter(watch))
    assert second.figures.event_count == 1
    watch.cancel()


async def test_administrators_see_reasons_and_people(suite: Served, ana: Person) -> None:
    await failure(
        suite.chat.Chat(chat_pb2.ChatRequest(message="hello", session_id=ana.user_id), metadata=ana.metadata)
    )
    await counted(suite, ana, 1)
    admin = await suite.administrator()
    response = await suite.analytics.QueryUsage(
        analytics_pb2.QueryUsageRequest(
            group_by=[
                analytics_pb2.DIMENSION_USER,
                analytics_pb2.DIMENSION_ERROR_REASON,
                analytics_pb2.DIMENSION_OPERATION,
            ],
            filter=analytics_pb2.UsageFilter(user_ids=[ana.user_id.upper()]),
        ),
        metadata=admin,
    )
    assert [list(group.values) for group in response.groups] == [[ana.user_id, "NOT_FOUND", "Chat"]]
    service = await suite.analytics.GetServiceAnalytics(
        analytics_pb2.GetServiceAnalyticsRequest(service_type=usage_pb2.SERVICE_TYPE_LLM_CHAT, top=100),
        metadata=admin,
    )
    assert "NOT_FOUND" in shares(service.error_reasons)
    assert shares(service.top_users)[ana.user_id] == 1


async def test_services_events_and_figures_agree(suite: Served, ana: Person) -> None:
    for _ in range(3):
        await suite.chat.Chat(chat_pb2.ChatRequest(message="hello", model="echo"), metadata=ana.metadata)
    await counted(suite, ana, 3)
    admin = await suite.administrator()
    response = await suite.analytics.Reconcile(analytics_pb2.ReconcileRequest(), metadata=admin)
    (balance,) = (one for one in response.services if one.service_type == usage_pb2.SERVICE_TYPE_LLM_CHAT)
    assert balance.balanced
    assert balance.service_event_count == balance.event_count == balance.figure_event_count >= 3


async def test_what_a_deleted_person_used_stays_as_nobodys(suite: Served) -> None:
    await suite.auth.Register(
        auth_pb2.RegisterRequest(email="leaving@example.com", password="a long enough one")
    )
    login = await suite.auth.Login(
        auth_pb2.LoginRequest(email="leaving@example.com", password="a long enough one")
    )
    leaving = Person(login.user.user_id, bearer(login.access_token))
    await suite.chat.Chat(chat_pb2.ChatRequest(message="bye", model="echo"), metadata=leaving.metadata)
    before = await counted(suite, leaving, 1)
    admin = await suite.administrator()
    await suite.auth.DeleteUser(auth_pb2.DeleteUserRequest(user_id=leaving.user_id), metadata=admin)

    async def forgotten() -> bool:
        found = await suite.analytics.GetUserAnalytics(
            analytics_pb2.GetUserAnalyticsRequest(user_id=leaving.user_id), metadata=admin
        )
        return bool(found.totals.event_count == 0)

    await until(forgotten)
    rows = await suite.rows("select count(*) from analytics.series where user_id = %s", leaving.user_id)
    assert rows == [(0,)]
    usage = await suite.analytics.GetUsage(analytics_pb2.GetUsageRequest(), metadata=admin)
    assert amounts(usage.totals)["output_tokens"] >= amounts(before.totals)["output_tokens"]
