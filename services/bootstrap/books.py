"""What the metered services of this deployment say they did, for whoever compares it: from this process, or by their addresses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime

from services.analytics.model.balances import Account, Books, Tally
from services.analytics.model.events import UNITS
from services.analytics.ports import CatalogPrice
from services.capabilities.metering.model import UsageReport

Redeliver = Callable[[datetime, datetime], Awaitable[int]]


class LocalBooks:
    """The books of a service in this process; keeps the promises of `services.analytics.ports.ServiceBooks`."""

    def __init__(
        self,
        summarize: Callable[[datetime, datetime], Awaitable[UsageReport]],
        redeliver: Redeliver,
        prices: Callable[[], Iterable[CatalogPrice]],
    ) -> None:
        """`prices` says what the catalog's models cost now."""
        self._summarize = summarize
        self._redeliver = redeliver
        self._prices = prices

    async def summarize(self, start: datetime, end: datetime) -> Books:
        """As the port says."""
        said = await self._summarize(start, end)
        tallies = {
            Account(one.user_id, one.model, one.status.value): Tally(
                one.event_count, tuple(one.quantities.get(unit, 0) for unit in UNITS)
            )
            for one in said.summaries
        }
        return Books(tallies, said.pending_event_count)

    async def redeliver(self, start: datetime, end: datetime) -> int:
        """As the port says."""
        return await self._redeliver(start, end)

    async def prices(self) -> Sequence[CatalogPrice]:
        """As the port says."""
        return list(self._prices())
