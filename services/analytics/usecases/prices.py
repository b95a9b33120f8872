"""ListPrices and SetPrice, and what the catalogs of the services say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn

import structlog

from services.analytics.model.prices import BEGINNING, Price, PriceSource
from services.analytics.ports import CatalogPrice, Clock, PriceStore, ServiceBooks
from services.analytics.usecases.spans import told, whole_millis
from services.capabilities.metering.model import Unit
from services.kernel.errors import InvalidArgument, ServiceError
from services.kernel.ids import new_id
from services.kernel.paging import Page, PageTokens

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 15.0
_SIGHTINGS = 4


@dataclass(frozen=True, slots=True)
class ListPrices:
    """Lists prices."""

    prices: PriceStore
    tokens: PageTokens

    async def __call__(
        self, model: str, at: datetime | None, page_size: int, page_token: str, skip: int
    ) -> tuple[Page[Price], str]:
        """A page, and the token of the next one. Raises InvalidArgument and Unavailable."""
        filter_ = [model, at.isoformat() if at else ""]
        request = self.tokens.request(page_size, page_token, skip, "prices", filter_)
        page = await self.prices.page(model, at, request)
        return page, self.tokens.token(page.after, "prices", filter_)


@dataclass(frozen=True, slots=True)
class SetPrice:
    """Sets a price for an administrator."""

    prices: PriceStore
    clock: Clock

    async def __call__(
        self, model: str, unit: Unit, variant: str, nano_usd: int | None, effective: datetime | None
    ) -> Price:
        """The price as it is kept. Raises InvalidArgument and Unavailable."""
        for field, text in (("model", model), ("variant", variant)):
            if "\0" in text:
                raise InvalidArgument.field(field, "must not have the character U+0000")
        now = self.clock()
        effective = told(effective, "effective_time")
        if effective is None:
            known = any(
                (one.model, one.unit, one.variant) == (model, unit, variant)
                for one in await self.prices.all()
            )
            effective = whole_millis(now) if known else BEGINNING
        price = Price(new_id(), model, unit, variant, nano_usd, effective, PriceSource.ADMINISTRATOR, now)
        return await self.prices.put(price)


class CatalogPrices:
    """Takes the prices of the services' catalogs over: the first price of something from the beginning, a changed one from when it is seen.

    What an administrator has set stays. A change counts once it was seen for a minute: while a deployment is rolled out, replicas tell the old
    one and the new one in turn.
    """

    def __init__(self, books: Sequence[ServiceBooks], prices: PriceStore, clock: Clock) -> None:
        self._books = books
        self._prices = prices
        self._clock = clock
        self._seen: dict[tuple[str, Unit, str], tuple[int, int]] = {}

    async def run(self) -> NoReturn:
        """Look every few seconds, until cancelled."""
        while True:
            for books in self._books:
                try:
                    await self.look(await books.prices())
                except ServiceError as error:
                    log.debug("the prices of a catalog can't be read now", why=error.message)
                except Exception:
                    # Nobody waits for this, and the next look may fare better.
                    log.exception("the prices of a catalog can't be taken over")
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self, told: Sequence[CatalogPrice]) -> None:
        """Take over what a catalog says now. Raises Unavailable."""
        if not told:
            return
        # One moment for all: each moment at which a price changes cuts the times that are asked about once more.
        now = self._clock()
        latest: dict[tuple[str, Unit, str], Price] = {}
        administered = set()
        for price in sorted(await self._prices.all(), key=lambda one: one.effective_time):
            latest[_key(price)] = price
            if price.source is PriceSource.ADMINISTRATOR:
                administered.add(_key(price))
        taken = 0
        for one in told:
            key = _key(one)
            known = latest.get(key)
            if key in administered or (known is not None and known.nano_usd == one.nano_usd):
                self._seen.pop(key, None)
                continue
            amount, times = self._seen.get(key, (one.nano_usd, 0))
            times = times + 1 if amount == one.nano_usd else 1
            self._seen[key] = (one.nano_usd, times)
            if known is not None and times < _SIGHTINGS:
                continue
            taken += await self._put(one, known, now)
            self._seen.pop(key, None)
        if taken:
            log.info("prices of the catalog were taken over", count=taken)

    async def _put(self, one: CatalogPrice, known: Price | None, now: datetime) -> bool:
        # A replaced price must not stand before the one that it replaces.
        effective = BEGINNING if known is None else max(now, known.effective_time + timedelta(milliseconds=1))
        price = Price(
            new_id(),
            one.model,
            one.unit,
            one.variant,
            one.nano_usd,
            whole_millis(effective),
            PriceSource.CATALOG,
            now,
        )
        if not await self._prices.add(price):
            return False
        log.debug(
            "a price of the catalog was taken over",
            model=one.model,
            unit=one.unit.name.lower(),
            variant=one.variant,
            nano_usd=one.nano_usd,
        )
        return True


def _key(price: Price | CatalogPrice) -> tuple[str, Unit, str]:
    return price.model, price.unit, price.variant
