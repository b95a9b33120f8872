"""Prices in MongoDB."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from services.analytics.model.prices import Price, PriceSource
from services.analytics.stores.mongo.scanning import from_micros, to_micros
from services.capabilities.metering.model import Unit
from services.infra.mongo.client import Mongo
from services.infra.mongo.failures import translated
from services.kernel.errors import Unavailable
from services.kernel.paging import Page, PageRequest

_ATTEMPTS = 20
# By these a price is found, beside its id.
_WHAT = ("model", "unit", "variant", "effective_at")
_CHANGING = ("nano_usd", "source")


class MongoPriceStore:
    """Keeps the promises of `PriceStore` by one document for each price, and an index that lets in one for each thing and moment."""

    def __init__(self, mongo: Mongo) -> None:
        self._prices = mongo["analytics_prices"]

    async def all(self) -> Sequence[Price]:
        """See `ports.PriceStore`."""
        with translated():
            return [_price(document) async for document in self._prices.find()]

    async def put(self, price: Price) -> Price:
        """See `ports.PriceStore`."""
        document = _document(price)
        which = {name: document[name] for name in _WHAT}
        changes = {name: document[name] for name in _CHANGING}
        first = {name: document[name] for name in ("_id", "created_at")}
        with translated():
            for _ in range(_ATTEMPTS):
                try:
                    kept = await self._prices.find_one_and_update(
                        which,
                        {"$set": changes, "$setOnInsert": first},
                        upsert=True,
                        return_document=ReturnDocument.AFTER,
                    )
                except DuplicateKeyError:
                    # Another process made it at the same moment.
                    continue
                assert kept is not None
                return _price(kept)
        raise Unavailable("The price can't be set now; try again.", retry_after=1.0)

    async def add(self, price: Price) -> bool:
        """See `ports.PriceStore`."""
        with translated():
            try:
                await self._prices.insert_one(_document(price))
            except DuplicateKeyError:
                return False
        return True

    async def page(self, model: str, at: datetime | None, page: PageRequest) -> Page[Price]:
        """See `ports.PriceStore`."""
        wanted: dict[str, Any] = {"model": model} if model else {}
        with translated():
            if at is not None:
                wanted = {"_id": {"$in": await self._in_force(wanted, to_micros(at))}}
            total = await self._prices.count_documents(wanted)
            later = wanted if page.after is None else {"$and": [wanted, {"_id": {"$lt": page.after}}]}
            cursor = self._prices.find(later).sort("_id", -1).skip(page.skip).limit(page.size + 1)
            found = [_price(document) async for document in cursor]
        items = found[: page.size]
        return Page(items, items[-1].price_id if len(found) > len(items) else None, total_size=total)

    async def _in_force(self, wanted: dict[str, Any], at: int) -> list[str]:
        """The ids of the prices that are in force at a moment: the last ones before it that are prices."""
        passed = self._prices.find({**wanted, "effective_at": {"$lte": at}}).sort("effective_at", 1)
        last = {(one["model"], one["unit"], one["variant"]): one async for one in passed}
        return [one["_id"] for one in last.values() if one["nano_usd"] is not None]


def _document(price: Price) -> dict[str, Any]:
    return {
        "_id": price.price_id,
        "model": price.model,
        "unit": price.unit.value,
        "variant": price.variant,
        "effective_at": to_micros(price.effective_time),
        "nano_usd": price.nano_usd,
        "source": price.source.value,
        "created_at": to_micros(price.create_time),
    }


def _price(document: dict[str, Any]) -> Price:
    return Price(
        price_id=document["_id"],
        model=document["model"],
        unit=Unit(document["unit"]),
        variant=document["variant"],
        nano_usd=document["nano_usd"],
        effective_time=from_micros(document["effective_at"]),
        source=PriceSource(document["source"]),
        create_time=from_micros(document["created_at"]),
    )
