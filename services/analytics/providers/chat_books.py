"""The books of Chat, in another process."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from datetime import datetime
from typing import TypeVar

import grpc
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc

from services.analytics.model.balances import Account, Books, Tally
from services.analytics.model.events import UNITS
from services.analytics.ports import CatalogPrice
from services.capabilities.identity.providers.service import ServiceTokens
from services.capabilities.metering.model import Unit
from services.kernel.errors import DeadlineExceeded, InvalidArgument, Unavailable

T = TypeVar("T")

_SECONDS = 30.0
_REDELIVERY_SECONDS = 120.0


class ChatBooksByRpc:
    """Keeps the promises of `ports.ServiceBooks`."""

    def __init__(self, stub: chat_pb2_grpc.ChatServiceAsyncStub, tokens: ServiceTokens) -> None:
        self._stub = stub
        self._tokens = tokens

    async def summarize(self, start: datetime, end: datetime) -> Books:
        """As the port says."""
        request = chat_pb2.SummarizeUsageRequest()
        request.start_time.FromDatetime(start)
        request.end_time.FromDatetime(end)
        answer = await _answer(
            self._stub.SummarizeUsage(request, metadata=self._tokens.metadata(), timeout=_SECONDS)
        )
        tallies = {}
        for summary in answer.summaries:
            amounts = {int(one.unit): one.amount for one in summary.quantities}
            account = Account(summary.user_id, summary.model, summary.status)
            tallies[account] = Tally(summary.event_count, tuple(amounts.get(unit.value, 0) for unit in UNITS))
        return Books(tallies, answer.pending_event_count)

    async def redeliver(self, start: datetime, end: datetime) -> int:
        """As the port says."""
        request = chat_pb2.RedeliverUsageRequest()
        request.start_time.FromDatetime(start)
        request.end_time.FromDatetime(end)
        answer = await _answer(
            self._stub.RedeliverUsage(request, metadata=self._tokens.metadata(), timeout=_REDELIVERY_SECONDS)
        )
        return answer.event_count

    async def prices(self) -> Sequence[CatalogPrice]:
        """As the port says."""
        answer = await _answer(self._stub.ListModels(chat_pb2.ListModelsRequest(), timeout=_SECONDS))
        known = {unit.value for unit in Unit}
        return [
            CatalogPrice(model.name, Unit(price.unit), "", price.nano_usd_per_million)
            for model in answer.models
            for price in model.prices
            if price.unit in known
        ]


async def _answer(call: Awaitable[T]) -> T:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            raise InvalidArgument(error.details() or "Chat does not take this span") from error
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise DeadlineExceeded("Chat did not answer in time", metadata={"stage": "books"}) from error
        raise Unavailable("Chat can't be asked for its books now; try again.") from error
