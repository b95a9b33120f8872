"""The books of a service in another process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import grpc
from antiphon.chat.v1 import chat_pb2
from antiphon.image.v1 import image_pb2
from antiphon.speech.v1 import speech_pb2

from services.analytics.model.balances import Account, Books, Tally
from services.analytics.model.events import UNITS
from services.analytics.ports import CatalogPrice
from services.capabilities.identity.providers.service import ServiceTokens
from services.capabilities.metering.model import Unit
from services.kernel.errors import DeadlineExceeded, InvalidArgument, Unavailable

T = TypeVar("T")

_SECONDS = 30.0
_REDELIVERY_SECONDS = 120.0
_UNITS = {unit.value for unit in Unit}


class BooksByRpc:
    """Keeps the promises of `ports.ServiceBooks`. All metered services have SummarizeUsage, RedeliverUsage and ListModels, each with messages of
    its own that look alike; what a model costs is written in another way in each.
    """

    def __init__(
        self,
        name: str,
        stub: Any,
        messages: Any,
        tokens: ServiceTokens,
        prices_of: Callable[[Any], Iterable[CatalogPrice]],
    ) -> None:
        """`name` is the service's for people, `messages` the module of its messages; `prices_of` reads its `Model`."""
        self._name = name
        self._stub = stub
        self._messages = messages
        self._tokens = tokens
        self._prices_of = prices_of

    async def summarize(self, start: datetime, end: datetime) -> Books:
        """As the port says."""
        request = _span(self._messages.SummarizeUsageRequest(), start, end)
        answer = await self._answer(
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
        request = _span(self._messages.RedeliverUsageRequest(), start, end)
        answer = await self._answer(
            self._stub.RedeliverUsage(request, metadata=self._tokens.metadata(), timeout=_REDELIVERY_SECONDS)
        )
        return int(answer.event_count)

    async def prices(self) -> Sequence[CatalogPrice]:
        """As the port says."""
        call = self._stub.ListModels(self._messages.ListModelsRequest(), timeout=_SECONDS)
        answer = await self._answer(call)
        return [price for model in answer.models for price in self._prices_of(model)]

    async def _answer(self, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                raise InvalidArgument(error.details() or f"{self._name} does not take this span") from error
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise DeadlineExceeded(
                    f"{self._name} did not answer in time", metadata={"stage": "books"}
                ) from error
            raise Unavailable(f"{self._name} can't be asked for its books now; try again.") from error


def unit_prices(model: chat_pb2.Model | speech_pb2.Model) -> Iterable[CatalogPrice]:
    """What a model of Chat or of Speech costs."""
    for price in model.prices:
        # A newer service may count what this process does not know.
        if price.unit in _UNITS:
            yield CatalogPrice(model.name, Unit(price.unit), "", price.nano_usd_per_million)


def image_prices(model: image_pb2.Model) -> Iterable[CatalogPrice]:
    """What a model of Image costs; the variant is the size."""
    for price in model.prices:
        yield CatalogPrice(model.name, Unit.IMAGES, price.size, price.nano_usd_per_image)


def _span(request: T, start: datetime, end: datetime) -> T:
    request.start_time.FromDatetime(start)  # type: ignore[attr-defined]
    request.end_time.FromDatetime(end)  # type: ignore[attr-defined]
    return request
