"""Prices come from the catalogs of the services until an administrator sets them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

import services.analytics.usecases.prices as prices_module
from services.analytics.model.balances import Books
from services.analytics.model.prices import BEGINNING, PriceBook, PriceSource
from services.analytics.ports import CatalogPrice
from services.analytics.usecases.prices import CatalogPrices, ListPrices, SetPrice
from services.capabilities.metering.model import Unit
from services.kernel.errors import InvalidArgument, Unavailable
from services.kernel.paging import PageTokens
from tests.fakes.analytics_events import MILLISECOND
from tests.fakes.analytics_memory import MemoryPriceStore
from tests.fakes.analytics_stage import NOW, SetClock, a_price
from tests.fakes.chat_play import until

INPUT = Unit.INPUT_TOKENS
ADMINISTRATOR = PriceSource.ADMINISTRATOR


class Office:
    """Where prices are set and looked at."""

    def __init__(self) -> None:
        self.clock = SetClock()
        self.store = MemoryPriceStore()
        self.catalogs = CatalogPrices([], self.store, self.clock)

    async def set(
        self, nano_usd: int | None, effective: datetime | None = None, model: str = "echo", variant: str = ""
    ) -> None:
        await SetPrice(self.store, self.clock)(model, INPUT, variant, nano_usd, effective)

    async def look(self, *amounts: int, times: int = 1) -> None:
        """A catalog says so, each time a quarter of a minute later."""
        for _ in range(times):
            for nano_usd in amounts:
                await self.catalogs.look([CatalogPrice("echo", INPUT, "", nano_usd)])
                self.clock.move(seconds=15)

    def at(self, moment: datetime, model: str = "echo", variant: str = "") -> int | None:
        return PriceBook(self.store.kept).price(model, variant, INPUT, moment)


async def test_the_first_price_of_a_catalog_is_in_force_from_the_beginning() -> None:
    office = Office()
    await office.look(5)
    (price,) = office.store.kept
    assert (price.nano_usd, price.effective_time, price.source) == (5, BEGINNING, PriceSource.CATALOG)


async def test_a_changed_price_is_in_force_from_when_it_was_seen_for_a_minute() -> None:
    office = Office()
    await office.look(5)
    await office.look(7, times=3)
    assert len(office.store.kept) == 1
    seen = office.clock.now
    await office.look(7, times=5)
    assert len(office.store.kept) == 2
    assert (office.at(seen - MILLISECOND), office.at(seen)) == (5, 7)


async def test_replicas_that_say_different_things_change_nothing() -> None:
    office = Office()
    await office.look(5)
    await office.look(7, 5, times=10)
    await office.look(7, 7, 8, times=10)
    assert len(office.store.kept) == 1


async def test_a_price_may_change_back() -> None:
    office = Office()
    for nano_usd in (5, 7, 5):
        await office.look(nano_usd, times=4)
    assert [one.nano_usd for one in sorted(office.store.kept, key=lambda one: one.effective_time)] == [
        5,
        7,
        5,
    ]


async def test_what_an_administrator_has_set_stays() -> None:
    office = Office()
    await office.look(5)
    await office.set(9)
    after = len(office.store.kept)
    await office.look(7, times=20)
    assert len(office.store.kept) == after
    assert office.at(office.clock.now) == 9


async def test_what_an_administrator_has_set_to_nothing_stays_without_a_price() -> None:
    office = Office()
    await office.set(None)
    await office.look(7, times=20)
    assert office.at(office.clock.now) is None


async def test_all_prices_of_a_new_catalog_change_at_one_moment() -> None:
    office = Office()

    def ticking() -> datetime:
        office.clock.move(milliseconds=1)
        return office.clock.now

    catalogs = CatalogPrices([], office.store, ticking)
    for nano_usd in (1, 2, 2, 2, 2):
        await catalogs.look([CatalogPrice(f"m{number}", INPUT, "", nano_usd) for number in range(20)])
    changes = PriceBook(office.store.kept).changes(BEGINNING, NOW + timedelta(days=1))
    assert (len(office.store.kept), len(changes)) == (40, 1)


async def test_a_catalog_that_tells_a_model_twice_is_believed_once() -> None:
    office = Office()
    twice = [CatalogPrice("echo", INPUT, "", nano_usd) for nano_usd in (5, 6)]
    for _ in range(10):
        await office.catalogs.look(twice)
    assert [one.nano_usd for one in office.store.kept] == [5]


class Catalog:
    """The books of a service of which only the prices are asked for."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def prices(self) -> Sequence[CatalogPrice]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(answer, Exception):
            raise answer
        return [CatalogPrice("echo", INPUT, "", answer)]

    async def summarize(self, start: datetime, end: datetime) -> Books:
        raise NotImplementedError

    async def redeliver(self, start: datetime, end: datetime) -> int:
        raise NotImplementedError


async def test_one_catalog_that_fails_keeps_no_other_one_from_being_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prices_module, "_LOOK_SECONDS", 0.02)
    store = MemoryPriceStore()
    away, broken, good = Catalog(Unavailable("away")), Catalog(ValueError("broken")), Catalog(5)
    run = asyncio.create_task(CatalogPrices([away, broken, good], store, SetClock()).run())
    await until(lambda: store.kept and min(away.asked, broken.asked, good.asked) >= 2)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_a_first_price_counts_from_the_beginning_and_a_second_one_from_now_on() -> None:
    office = Office()
    await office.set(5)
    await office.set(7)
    assert (office.at(BEGINNING), office.at(NOW - MILLISECOND), office.at(NOW)) == (5, 5, 7)
    assert {one.source for one in office.store.kept} == {ADMINISTRATOR}


async def test_a_price_may_begin_in_the_past_and_in_the_future() -> None:
    office = Office()
    await office.set(5)
    yesterday, tomorrow = NOW - timedelta(days=1), NOW + timedelta(days=1)
    await office.set(None, tomorrow)
    await office.set(6, yesterday)
    assert (office.at(yesterday - MILLISECOND), office.at(NOW), office.at(tomorrow)) == (5, 6, None)


async def test_the_same_moment_once_more_replaces_the_price() -> None:
    office = Office()
    await office.look(5)
    (before,) = office.store.kept
    await office.set(6, BEGINNING)
    (after,) = office.store.kept
    assert (after.price_id, after.nano_usd, after.source) == (before.price_id, 6, ADMINISTRATOR)


async def test_a_price_begins_at_a_whole_millisecond() -> None:
    office = Office()
    await office.set(5, NOW + timedelta(microseconds=1999))
    (price,) = office.store.kept
    assert price.effective_time == NOW + MILLISECOND


@pytest.mark.parametrize("year", [1, 1969, 2200, 9999])
async def test_a_price_of_another_age_is_refused(year: int) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await Office().set(5, datetime(year, 12, 31, tzinfo=UTC))
    assert refused.value.violations[0].field == "effective_time"


@pytest.mark.parametrize(("field", "model", "variant"), [("model", "a\0", ""), ("variant", "a", "\0")])
async def test_names_that_can_not_be_stored_are_refused(field: str, model: str, variant: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await Office().set(5, model=model, variant=variant)
    assert refused.value.violations[0].field == field


async def test_prices_are_listed_by_pages_and_by_moment() -> None:
    office = Office()
    office.store.kept = [
        a_price(number, model=f"m{number % 2}", at=NOW + number * MILLISECOND) for number in range(7)
    ]
    listing = ListPrices(office.store, PageTokens(b"k" * 32))
    found, token = [], ""
    for _ in range(4):
        page, token = await listing("", None, 2, token, 0)
        found += [one.nano_usd for one in page.items]
    assert (found, token) == ([6, 5, 4, 3, 2, 1, 0], "")
    page, _ = await listing("m1", None, 0, "", 0)
    assert [one.nano_usd for one in page.items] == [5, 3, 1]
    page, _ = await listing("", NOW + 2 * MILLISECOND, 0, "", 0)
    assert [one.nano_usd for one in page.items] == [2, 1]


async def test_a_token_fits_the_list_that_it_was_made_for() -> None:
    office = Office()
    office.store.kept = [a_price(number, at=NOW + number * MILLISECOND) for number in range(3)]
    listing = ListPrices(office.store, PageTokens(b"k" * 32))
    _, token = await listing("echo", None, 2, "", 0)
    for model, at in (("", None), ("other", None), ("echo", NOW)):
        with pytest.raises(InvalidArgument) as refused:
            await listing(model, at, 2, token, 0)
        assert refused.value.reason == "INVALID_PAGE_TOKEN"
