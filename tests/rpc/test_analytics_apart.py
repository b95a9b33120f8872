"""Chat and Analytics in processes of their own: events are delivered by RPC, and wait while Analytics is away."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
import pytest
from antiphon.analytics.v1 import analytics_pb2
from antiphon.chat.v1 import chat_pb2
from antiphon.usage.v1 import usage_pb2

from tests.fakes.analytics_calls import amounts, counted
from tests.fakes.served_suite import Metadata, Person, Serve, Served, failure, until

pytestmark = pytest.mark.long


async def chat(suite: Served, person: Person, times: int = 1) -> None:
    for _ in range(times):
        await suite.chat.Chat(chat_pb2.ChatRequest(message="hello", model="echo"), metadata=person.metadata)


async def waiting(suite: Served) -> int:
    ((count,),) = await suite.rows("select count(*) from chat.outbox")
    return int(count)


async def reconciled(suite: Served, admin: Metadata, *, repair: bool = False) -> analytics_pb2.ServiceBalance:
    response = await suite.analytics.Reconcile(analytics_pb2.ReconcileRequest(repair=repair), metadata=admin)
    balance: Sequence[analytics_pb2.ServiceBalance] = response.services
    return balance[0]


async def test_events_wait_while_analytics_is_away_and_are_delivered_when_it_is_back(
    serve: Serve, ana: Person
) -> None:
    async with serve("auth", "analytics") as keeper:
        address = keeper.suite.server.address
        port = str(keeper.suite.server.port)
        async with serve("auth", "chat", ANTIPHON_PEERS__ANALYTICS=address) as talker:
            await chat(talker, ana)
            await counted(keeper, ana, 1)
    async with serve("auth", "chat", ANTIPHON_PEERS__ANALYTICS=address) as talker:
        await chat(talker, ana, 3)
        assert await waiting(talker) == 3
        async with serve("auth", "analytics", ANTIPHON_SERVER__PORT=port) as keeper:
            await counted(keeper, ana, 4, 20)

            async def empty() -> bool:
                return await waiting(talker) == 0

            await until(empty)


async def test_reconciliation_asks_chat_by_rpc_and_mends_what_was_lost(serve: Serve, ana: Person) -> None:
    # Who is asked has to know its address before, so it starts a second time with it.
    async with serve("auth", "chat") as talker:
        address, port = talker.suite.server.address, str(talker.suite.server.port)
        admin = await talker.administrator()
    async with serve("auth", "analytics", ANTIPHON_PEERS__CHAT=address) as keeper:
        to_keeper = keeper.suite.server.address
        async with serve(
            "auth", "chat", ANTIPHON_SERVER__PORT=port, ANTIPHON_PEERS__ANALYTICS=to_keeper
        ) as talker:
            await chat(talker, ana, 3)
            before = await counted(keeper, ana, 3)
            assert (await reconciled(keeper, admin)).balanced
            # A backup of Analytics was restored that did not have one of them.
            (lost,) = await keeper.rows(
                "delete from analytics.events where event_id in"
                " (select event_id from analytics.events order by event_id limit 1) returning event_id"
            )
            found = await reconciled(keeper, admin)
            assert not found.balanced
            assert (found.service_event_count, found.event_count, found.figure_event_count) == (3, 2, 3)
            (difference,) = found.differences
            assert difference.user_id == ana.user_id
            assert difference.model == "echo"
            assert difference.status == usage_pb2.USAGE_STATUS_SUCCESS
            assert difference.service.event_count - difference.events.event_count == 1
            assert amounts(difference.service) == amounts(before.totals)
            mended = await reconciled(keeper, admin, repair=True)
            assert mended.balanced
            assert mended.redelivered_event_count >= 1
            assert await keeper.rows("select event_id from analytics.events where event_id = %s", lost[0])
            after = await counted(keeper, ana, 3)
            assert after.totals.quantities == before.totals.quantities


async def test_a_service_whose_address_nobody_set_is_told_as_unknown(serve: Serve) -> None:
    async with serve("auth", "analytics") as keeper:
        admin = await keeper.administrator()
        response = await keeper.analytics.Reconcile(analytics_pb2.ReconcileRequest(), metadata=admin)
        assert not response.services
        failed = await failure(
            keeper.analytics.Reconcile(
                analytics_pb2.ReconcileRequest(service_types=[usage_pb2.SERVICE_TYPE_LLM_CHAT]),
                metadata=admin,
            )
        )
        assert failed.what == ("FAILED_PRECONDITION", "SERVICE_UNKNOWN")


async def test_without_analytics_nothing_is_recorded(serve: Serve, ana: Person) -> None:
    async with serve("auth", "chat", "analytics", ENABLE_ANALYTICS="false") as suite:
        await chat(suite, ana)
        failed = await failure(
            suite.chat.Chat(chat_pb2.ChatRequest(message="hello", model="nobody"), metadata=ana.metadata)
        )
        assert failed.code is grpc.StatusCode.NOT_FOUND
        assert await waiting(suite) == 0
    async with serve("auth", "chat", "analytics") as suite:
        await chat(suite, ana)
        await counted(suite, ana, 1)
