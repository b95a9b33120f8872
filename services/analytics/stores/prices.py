"""Prices in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.analytics.model.prices import Price, PriceSource
from services.capabilities.metering.model import Unit
from services.infra.postgres.database import Connection, Database
from services.kernel.paging import Page, PageRequest

_COLUMNS = "price_id::text, model, unit, variant, nano_usd, effective_at, source, created_at"

_ADD = """
insert into analytics.prices (price_id, model, unit, variant, nano_usd, effective_at, source, created_at)
values (%(price_id)s, %(model)s, %(unit)s, %(variant)s, %(nano_usd)s, %(effective_at)s, %(source)s, %(created_at)s)
on conflict (model, unit, variant, effective_at) do {how}
returning {columns}
"""
_ADD_NEW = _ADD.format(how="nothing", columns=_COLUMNS)
_PUT = _ADD.format(how="update set nano_usd = excluded.nano_usd, source = excluded.source", columns=_COLUMNS)

_ALL = f"select {_COLUMNS} from analytics.prices"
_WANTED = """
with wanted as (
    select *, row_number() over (partition by model, unit, variant order by effective_at desc) as place
    from analytics.prices
    where (%(model)s::text = '' or model = %(model)s) and (%(at)s::timestamptz is null or effective_at <= %(at)s)
), listed as (
    select * from wanted where %(at)s::timestamptz is null or (place = 1 and nano_usd is not null)
)
"""
_PAGE = f"""{_WANTED}
select {_COLUMNS} from listed where %(after)s::uuid is null or price_id < %(after)s::uuid
order by price_id desc limit %(limit)s offset %(skip)s
"""
_COUNT = f"{_WANTED} select count(*) from listed"


class SqlPriceStore:
    """`ports.PriceStore` over the table `prices`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> Sequence[Price]:
        """See `ports.PriceStore`."""
        async with self._database.connection() as connection:
            return await _prices(connection, _ALL, {})

    async def put(self, price: Price) -> Price:
        """See `ports.PriceStore`."""
        async with self._database.connection() as connection:
            (kept,) = await _prices(connection, _PUT, _values(price))
        return kept

    async def add(self, price: Price) -> bool:
        """See `ports.PriceStore`."""
        async with self._database.connection() as connection:
            return bool(await _prices(connection, _ADD_NEW, _values(price)))

    async def page(self, model: str, at: datetime | None, page: PageRequest) -> Page[Price]:
        """See `ports.PriceStore`."""
        which = {"model": model, "at": at}
        values = {**which, "after": page.after, "limit": page.size + 1, "skip": page.skip}
        async with self._database.connection() as connection:
            found = await _prices(connection, _PAGE, values)
            row = await (await connection.execute(_COUNT.encode(), which)).fetchone()
        shown = found[: page.size]
        after = shown[-1].price_id if len(found) > len(shown) else None
        return Page(shown, after, int(row[0]) if row else 0)


async def _prices(connection: Connection, statement: str, values: dict[str, Any]) -> list[Price]:
    cursor = await connection.execute(statement.encode(), values)
    return [
        Price(price_id, model, Unit(unit), variant, nano_usd, effective_at, PriceSource(source), created_at)
        for price_id, model, unit, variant, nano_usd, effective_at, source, created_at in await cursor.fetchall()
    ]


def _values(price: Price) -> dict[str, Any]:
    return {
        "price_id": price.price_id,
        "model": price.model,
        "unit": price.unit.value,
        "variant": price.variant,
        "nano_usd": price.nano_usd,
        "effective_at": price.effective_time,
        "source": price.source.value,
        "created_at": price.create_time,
    }
