"""Prices are kept as they were set, one for each thing and moment."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.analytics.model.prices import BEGINNING, Price, PriceSource
from services.capabilities.metering.model import Unit
from services.kernel.ids import new_id
from services.kernel.paging import PageRequest
from tests.fakes.analytics_stores import AnalyticsStores

_NOW = datetime(2026, 3, 29, 1, 59, 59, 999_000, tzinfo=UTC)


def price(nano_usd: int | None = 250, **changes: Any) -> Price:
    made = Price(
        price_id=new_id(),
        model="echo",
        unit=Unit.INPUT_TOKENS,
        variant="",
        nano_usd=nano_usd,
        effective_time=BEGINNING,
        source=PriceSource.ADMINISTRATOR,
        create_time=_NOW,
    )
    return replace(made, **changes)


async def test_prices_are_kept_as_they_were_set(analytics_stores: AnalyticsStores) -> None:
    prices = analytics_stores.prices
    assert list(await prices.all()) == []
    wanted = [
        price(10**15),
        price(0, effective_time=_NOW),
        price(None, unit=Unit.IMAGES, variant="1024x1024"),
        price(unit=Unit.IMAGES, source=PriceSource.CATALOG),
        price(model="$.𝄞 '", effective_time=_NOW + timedelta(days=3650)),
    ]
    for one in wanted:
        assert await prices.put(one) == one
    assert sorted(await prices.all(), key=lambda one: one.price_id) == wanted


async def test_the_same_thing_and_moment_once_more_replace_a_price(analytics_stores: AnalyticsStores) -> None:
    prices, first = analytics_stores.prices, price()
    other = price(7, variant="v")
    await prices.put(first)
    await prices.put(other)
    again = price(500, source=PriceSource.CATALOG, create_time=_NOW + timedelta(hours=1))
    kept = replace(again, price_id=first.price_id, create_time=first.create_time)
    assert await prices.put(again) == kept
    assert await prices.put(price(None)) == replace(first, nano_usd=None)
    assert await prices.put(again) == kept
    assert sorted(await prices.all(), key=lambda one: one.price_id) == [kept, other]


async def test_of_many_who_set_the_same_price_at_once_one_makes_it(analytics_stores: AnalyticsStores) -> None:
    prices = analytics_stores.prices
    kept = await asyncio.gather(*(prices.put(price(number)) for number in range(20)))
    (found,) = await prices.all()
    assert {one.price_id for one in kept} == {found.price_id}
    assert found.nano_usd in range(20)


async def test_a_price_that_is_there_is_not_added(analytics_stores: AnalyticsStores) -> None:
    prices = analytics_stores.prices
    for wanted in (price(1), price(2, effective_time=_NOW), price(None, unit=Unit.IMAGES)):
        assert await prices.add(wanted)
        assert not await prices.add(replace(wanted, price_id=new_id(), nano_usd=9))
    assert sorted(one.nano_usd or 0 for one in await prices.all()) == [0, 1, 2]


async def test_of_many_who_add_at_once_one_does(analytics_stores: AnalyticsStores) -> None:
    prices = analytics_stores.prices
    made = [price(number) for number in range(20)]
    added = await asyncio.gather(*(prices.add(one) for one in made))
    assert sum(added) == 1
    assert list(await prices.all()) == [made[added.index(True)]]


async def test_prices_are_told_newest_first_and_page_by_page(analytics_stores: AnalyticsStores) -> None:
    prices = analytics_stores.prices
    made = [
        price(number, model=f"m{number % 2}", effective_time=_NOW + timedelta(days=number))
        for number in range(7)
    ]
    for one in (made[4], *made[:4], *made[5:]):
        await prices.put(one)
    newest = made[::-1]
    first = await prices.page("", None, PageRequest(size=3))
    assert (list(first.items), first.after, first.total_size) == (newest[:3], newest[2].price_id, 7)
    last = await prices.page("", None, PageRequest(size=3, after=first.after, skip=1))
    assert (list(last.items), last.after) == (newest[4:], None)
    only = await prices.page("m1", None, PageRequest(size=2))
    assert ([one.nano_usd for one in only.items], only.after, only.total_size) == (
        [5, 3],
        made[3].price_id,
        3,
    )
    nothing = await prices.page("m9", None, PageRequest())
    assert (list(nothing.items), nothing.after, nothing.total_size) == ([], None, 0)


async def test_prices_in_force_are_the_last_before_the_moment(analytics_stores: AnalyticsStores) -> None:
    prices = analytics_stores.prices
    later, ended = _NOW + timedelta(days=1), _NOW + timedelta(days=2)
    made = [
        price(2, effective_time=later),
        price(1),
        price(None, effective_time=ended),
        price(3, variant="hd"),
        price(4, unit=Unit.IMAGES, effective_time=later),
        price(5, model="other"),
    ]
    for one in made:
        await prices.put(one)

    async def at(moment: datetime, model: str = "echo") -> list[int | None]:
        page = await prices.page(model, moment, PageRequest())
        assert page.total_size == len(page.items)
        return [one.nano_usd for one in page.items]

    millisecond = timedelta(milliseconds=1)
    assert await at(BEGINNING - millisecond) == []
    assert await at(_NOW) == [3, 1]
    assert await at(later - millisecond) == [3, 1]
    assert await at(later) == [4, 3, 2]
    assert await at(ended) == [4, 3]
    assert await at(ended, "") == [5, 4, 3]
    page = await prices.page("", later, PageRequest(size=2, after=made[4].price_id))
    assert ([one.nano_usd for one in page.items], page.after, page.total_size) == ([3, 2], None, 4)
