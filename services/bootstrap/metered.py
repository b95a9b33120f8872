"""The services whose calls are metered, and Analytics, each with its way to the others: in this process or by their addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import TYPE_CHECKING

from services.analytics.model.balances import Account, Books, Tally
from services.analytics.model.events import UNITS
from services.analytics.ports import CatalogPrice, ServiceBooks
from services.bootstrap.peers import channel_to
from services.capabilities.identity.providers.service import ServiceTokens
from services.capabilities.metering.model import ServiceType
from services.kernel.secret import DeploymentSecret
from services.runtime.metrics import Metrics
from services.runtime.mounted import Mounted
from services.settings import Settings

if TYPE_CHECKING:
    from services.analytics.wiring import Analytics
    from services.capabilities.identity.ports import RevocationSource
    from services.capabilities.metering.ports import Sink
    from services.chat.wiring import Chat
    from services.infra.postgres.database import Database


async def metered(
    settings: Settings,
    services: Sequence[str],
    database: Database | None,
    secret: DeploymentSecret,
    *,
    sole_owner: bool,
    environ: Mapping[str, str],
    revocations: RevocationSource,
    metrics: Metrics,
    stack: AsyncExitStack,
) -> list[Mounted]:
    """Those of the services that are metered, and Analytics, which outlives them: what they record while they stop is still delivered."""
    tokens = ServiceTokens(secret, "+".join(services))
    analytics: Analytics | None = None
    if "analytics" in services:
        from services.analytics import wiring as analytics_wiring

        analytics = await stack.enter_async_context(
            analytics_wiring.build(
                settings, database, secret, sole_owner=sole_owner, revocations=revocations, metrics=metrics
            )
        )
    mounted = []
    books: dict[ServiceType, ServiceBooks] = {}
    if "chat" in services:
        from services.chat import wiring as chat_wiring

        chat = await stack.enter_async_context(
            chat_wiring.build(
                settings,
                database,
                secret,
                sole_owner=sole_owner,
                environ=environ,
                revocations=revocations,
                metrics=metrics,
                sink=_sink(settings, "chat", analytics, tokens, stack),
            )
        )
        books[ServiceType.LLM_CHAT] = LocalChatBooks(chat)
        mounted.append(chat.mounted)
    if analytics is not None:
        if "chat" not in services and settings.peers.chat is not None:
            books[ServiceType.LLM_CHAT] = await _chat_books_at(settings.peers.chat, tokens, stack)
        mounted.append(await stack.enter_async_context(analytics.serving(books)))
    return mounted


def _sink(
    settings: Settings,
    service: str,
    analytics: Analytics | None,
    tokens: ServiceTokens,
    stack: AsyncExitStack,
) -> Sink | None:
    if analytics is not None:
        return analytics.sink(service)
    if settings.peers.analytics is None:
        return None
    from antiphon.analytics.v1 import analytics_pb2_grpc

    from services.capabilities.metering.providers.rpc import SinkByRpc

    channel = channel_to(settings.peers.analytics)
    stack.push_async_exit(channel)
    return SinkByRpc(analytics_pb2_grpc.AnalyticsServiceStub(channel), tokens)


async def _chat_books_at(address: str, tokens: ServiceTokens, stack: AsyncExitStack) -> ServiceBooks:
    from antiphon.chat.v1 import chat_pb2_grpc

    from services.analytics.providers.chat_books import ChatBooksByRpc

    channel = await stack.enter_async_context(channel_to(address))
    return ChatBooksByRpc(chat_pb2_grpc.ChatServiceStub(channel), tokens)


class LocalChatBooks:
    """The books of Chat in this process; keeps the promises of `services.analytics.ports.ServiceBooks`."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat

    async def summarize(self, start: datetime, end: datetime) -> Books:
        """As the port says."""
        said = await self._chat.summarize(start, end)
        tallies = {
            Account(one.user_id, one.model, one.status.value): Tally(
                one.event_count, tuple(one.quantities.get(unit, 0) for unit in UNITS)
            )
            for one in said.summaries
        }
        return Books(tallies, said.pending_event_count)

    async def redeliver(self, start: datetime, end: datetime) -> int:
        """As the port says."""
        return await self._chat.redeliver(start, end)

    async def prices(self) -> Sequence[CatalogPrice]:
        """As the port says."""
        return [
            CatalogPrice(model.name, unit, "", price)
            for model in self._chat.catalog.models.values()
            for unit, price in model.prices.items()
        ]
