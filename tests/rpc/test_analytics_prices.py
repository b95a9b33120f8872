"""Costs follow the prices in force when something was used."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from antiphon.analytics.v1 import analytics_pb2
from antiphon.usage.v1 import usage_pb2

from tests.fakes.analytics_calls import EVERYTHING, record, told_at, usage_of
from tests.fakes.served_suite import Metadata, Person, Served, failure, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=5)


@pytest.fixture(scope="module")
def suite_services() -> Sequence[str]:
    return EVERYTHING


def price(
    model: str, unit: int, nano_usd: int | None, start: datetime | None = None
) -> analytics_pb2.SetPriceRequest:
    request = analytics_pb2.SetPriceRequest(model=model, unit=unit, nano_usd=nano_usd)  # type: ignore[arg-type]
    if start is not None:
        request.effective_time.FromDatetime(start)
    return request


async def used(suite: Served, person: Person, model: str, moment: datetime) -> None:
    """A million input tokens and two million output tokens."""
    event = told_at(moment, user_id=person.user_id, model=model)
    event.quantities[0].amount, event.quantities[1].amount = 1_000_000, 2_000_000
    await record(suite, event)


async def cost(suite: Served, person: Person) -> int | None:
    totals = (await usage_of(suite, person)).totals
    return totals.cost_nano_usd if totals.HasField("cost_nano_usd") else None


async def set_prices(suite: Served, admin: Metadata, *prices: analytics_pb2.SetPriceRequest) -> None:
    for one in prices:
        await suite.analytics.SetPrice(one, metadata=admin)


async def test_a_missing_price_makes_a_cost_absent_and_never_zero(suite: Served, ana: Person) -> None:
    model, admin = f"m-{uuid.uuid4().hex}", await suite.administrator()
    await used(suite, ana, model, NOON)
    assert await cost(suite, ana) is None
    # One of the two units is not enough.
    await set_prices(suite, admin, price(model, usage_pb2.UNIT_INPUT_TOKENS, 5))
    totals = (await usage_of(suite, ana)).totals
    assert not totals.HasField("cost_nano_usd")
    assert totals.unpriced_event_count == 1
    await set_prices(suite, admin, price(model, usage_pb2.UNIT_OUTPUT_TOKENS, 7))
    assert await cost(suite, ana) == 5 + 2 * 7


async def test_a_change_prices_anew_from_its_moment_on(suite: Served, ana: Person) -> None:
    model, admin = f"m-{uuid.uuid4().hex}", await suite.administrator()
    await set_prices(
        suite,
        admin,
        price(model, usage_pb2.UNIT_INPUT_TOKENS, 100),
        price(model, usage_pb2.UNIT_OUTPUT_TOKENS, 0),
    )
    for minutes in (-3, 3):
        await used(suite, ana, model, NOON + timedelta(minutes=minutes))
    assert await cost(suite, ana) == 200
    await set_prices(suite, admin, price(model, usage_pb2.UNIT_INPUT_TOKENS, 1000, NOON))
    assert await cost(suite, ana) == 1100
    # In the middle of a quarter of an hour, to the millisecond.
    await set_prices(suite, admin, price(model, usage_pb2.UNIT_INPUT_TOKENS, 1, NOON + timedelta(minutes=3)))
    assert await cost(suite, ana) == 101
    await set_prices(
        suite,
        admin,
        price(model, usage_pb2.UNIT_INPUT_TOKENS, 2, NOON + timedelta(minutes=3, milliseconds=1)),
    )
    assert await cost(suite, ana) == 101
    # The same moment once more replaces a price; without an amount there is none from then on.
    await set_prices(
        suite, admin, price(model, usage_pb2.UNIT_INPUT_TOKENS, None, NOON + timedelta(minutes=3))
    )
    totals = (await usage_of(suite, ana)).totals
    assert (totals.cost_nano_usd, totals.unpriced_event_count) == (100, 1)


async def test_images_are_priced_by_their_size(suite: Served, ana: Person) -> None:
    model, admin = f"m-{uuid.uuid4().hex}", await suite.administrator()
    for variant, count in (("256x256", 2), ("1024x1024", 3)):
        event = told_at(NOON, user_id=ana.user_id, model=model, variant=variant)
        event.service_type = usage_pb2.SERVICE_TYPE_TEXT_TO_IMAGE
        del event.quantities[:]
        event.quantities.add(unit=usage_pb2.UNIT_IMAGES, amount=count)
        await record(suite, event)
    general, large = price(model, usage_pb2.UNIT_IMAGES, 10), price(model, usage_pb2.UNIT_IMAGES, 40)
    large.variant = "1024x1024"
    await set_prices(suite, admin, general, large)
    assert await cost(suite, ana) == 2 * 10 + 3 * 40


async def test_prices_are_for_everybody_to_see_and_for_administrators_to_set(
    suite: Served, ana: Person
) -> None:
    model, admin = f"m-{uuid.uuid4().hex}", await suite.administrator()
    failed = await failure(
        suite.analytics.SetPrice(price(model, usage_pb2.UNIT_INPUT_TOKENS, 1), metadata=ana.metadata)
    )
    assert failed.what == ("PERMISSION_DENIED", "ROLE_REQUIRED")
    await set_prices(
        suite,
        admin,
        price(model, usage_pb2.UNIT_INPUT_TOKENS, 1),
        price(model, usage_pb2.UNIT_INPUT_TOKENS, 2, NOON),
    )
    request = analytics_pb2.ListPricesRequest(model=model)
    listed = await suite.analytics.ListPrices(request, metadata=ana.metadata)
    assert [one.nano_usd for one in listed.prices] == [2, 1]
    request.at_time.FromDatetime(NOON - timedelta(seconds=1))
    listed = await suite.analytics.ListPrices(request, metadata=ana.metadata)
    assert [one.nano_usd for one in listed.prices] == [1]


async def test_the_catalogs_prices_are_taken_over(suite: Served, ana: Person) -> None:
    async def listed() -> list[tuple[int, int, int]]:
        found = await suite.analytics.ListPrices(
            analytics_pb2.ListPricesRequest(model="locked"), metadata=ana.metadata
        )
        return sorted((one.unit, one.nano_usd, one.source) for one in found.prices)

    catalog = analytics_pb2.PRICE_SOURCE_CATALOG
    assert await until(listed) == [
        (usage_pb2.UNIT_INPUT_TOKENS, 2_500_000_000, catalog),
        (usage_pb2.UNIT_OUTPUT_TOKENS, 10_000_000_000, catalog),
    ]
