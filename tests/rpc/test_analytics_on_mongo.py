"""Chat and Analytics on MongoDB: what was used is counted, told and reconciled as on PostgreSQL."""

from __future__ import annotations

import pytest
from antiphon.analytics.v1 import analytics_pb2
from antiphon.chat.v1 import chat_pb2
from antiphon.usage.v1 import usage_pb2

from tests.fakes.analytics_calls import EVERYTHING, amounts, counted
from tests.fakes.served_suite import Person, Serve, failure

pytestmark = pytest.mark.peers


async def test_what_was_used_is_counted_told_and_reconciled(
    serve: Serve, mongo_url: str, ana: Person
) -> None:
    settings = {
        "MONGODB_URL": mongo_url,
        "ANTIPHON_CHAT__STORE": "mongo",
        "ANTIPHON_ANALYTICS__STORE": "mongo",
    }
    async with serve(*EVERYTHING, **settings) as suite:
        for _ in range(3):
            await suite.chat.Chat(
                chat_pb2.ChatRequest(message="one two", model="echo"), metadata=ana.metadata
            )
        await failure(
            suite.chat.Chat(chat_pb2.ChatRequest(message="hello", model="nobody"), metadata=ana.metadata)
        )
        found = await counted(suite, ana, 4, 20)
        assert (found.totals.success_count, found.totals.refused_count) == (3, 1)
        assert amounts(found.totals)["output_tokens"] > 0
        admin = await suite.administrator()
        response = await suite.analytics.Reconcile(analytics_pb2.ReconcileRequest(), metadata=admin)
        (balance,) = (one for one in response.services if one.service_type == usage_pb2.SERVICE_TYPE_LLM_CHAT)
        assert balance.balanced
        assert (balance.service_event_count, balance.event_count, balance.figure_event_count) == (3, 3, 3)
        system = await suite.analytics.GetSystemAnalytics(
            analytics_pb2.GetSystemAnalyticsRequest(), metadata=admin
        )
        assert system.user_count == 1
    async with serve(*EVERYTHING, **settings) as suite:
        await counted(suite, ana, 4)
