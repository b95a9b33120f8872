"""What something costs is exact, and rounded once."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.model.events import UNITS
from services.analytics.model.prices import BEGINNING, PARTS, PriceBook, parts, rounded
from services.capabilities.metering.model import Unit
from tests.fakes.analytics_events import MILLISECOND, units_of
from tests.fakes.analytics_exact import PRICED_AMOUNT
from tests.fakes.analytics_stage import MOST_NANO_USD, NOW, a_price

AMOUNTS = st.one_of(st.integers(0, 10_000), st.integers(0, 10**12), st.just(10**12))
PRICES = st.one_of(st.integers(0, 10_000), st.integers(0, MOST_NANO_USD), st.just(MOST_NANO_USD))
QUANTITIES = st.tuples(*([AMOUNTS] * len(UNITS)))
LATER = NOW + timedelta(days=1)


def exact(quantities: tuple[int, ...], prices: dict[Unit, int]) -> Fraction:
    return sum(
        (
            Fraction(amount * prices[unit], PRICED_AMOUNT[unit])
            for unit, amount in zip(UNITS, quantities, strict=True)
            if amount
        ),
        Fraction(0),
    )


@given(st.lists(QUANTITIES, min_size=1, max_size=5), st.tuples(*([PRICES] * len(UNITS))))
def test_costs_are_those_that_fractions_make(calls: list[tuple[int, ...]], amounts: tuple[int, ...]) -> None:
    prices = dict(zip(UNITS, amounts, strict=True))
    book = PriceBook(a_price(amount, unit=unit) for unit, amount in prices.items())
    costs = [book.cost("echo", "", call, units_of(call), NOW) for call in calls]
    assert [Fraction(cost or 0, PARTS) for cost in costs] == [exact(call, prices) for call in calls]
    # Python rounds fractions to the even one of two.
    assert rounded(sum(cost or 0 for cost in costs)) == round(sum(exact(call, prices) for call in calls))


@given(st.integers(0, 10**30))
def test_a_cost_is_rounded_to_the_nearest_nano_usd(cost: int) -> None:
    assert rounded(cost) == round(Fraction(cost, PARTS))


@pytest.mark.parametrize(("halves", "nano_usd"), [(1, 0), (2, 1), (3, 2), (5, 2), (7, 4)])
def test_halves_go_to_the_even_nano_usd(halves: int, nano_usd: int) -> None:
    assert rounded(parts(Unit.INPUT_TOKENS, halves, 500_000)) == nano_usd


@pytest.mark.parametrize(
    ("unit", "amount"),
    [(Unit.INPUT_TOKENS, 1_000_000), (Unit.IMAGES, 1), (Unit.AUDIO_MILLISECONDS, 3_600_000)],
)
def test_a_price_is_for_what_the_contract_says(unit: Unit, amount: int) -> None:
    assert rounded(parts(unit, amount, 1234)) == 1234


def test_a_variant_without_a_price_of_its_own_costs_what_all_cost() -> None:
    book = PriceBook([a_price(5, unit=Unit.IMAGES), a_price(9, unit=Unit.IMAGES, variant="1024x1024")])
    assert book.price("echo", "1024x1024", Unit.IMAGES, NOW) == 9
    assert book.price("echo", "256x256", Unit.IMAGES, NOW) == 5
    assert book.price("echo", "", Unit.IMAGES, NOW) == 5
    assert book.price("other", "", Unit.IMAGES, NOW) is None
    assert book.price("echo", "", Unit.CHARACTERS, NOW) is None


def test_the_price_of_a_variant_is_not_that_of_others() -> None:
    book = PriceBook([a_price(9, unit=Unit.IMAGES, variant="1024x1024")])
    assert book.price("echo", "", Unit.IMAGES, NOW) is None
    assert book.price("echo", "256x256", Unit.IMAGES, NOW) is None


def test_a_variant_whose_price_ends_costs_what_all_cost() -> None:
    book = PriceBook(
        [
            a_price(5, unit=Unit.IMAGES),
            a_price(9, unit=Unit.IMAGES, variant="large"),
            a_price(None, unit=Unit.IMAGES, variant="large", at=NOW),
        ]
    )
    assert book.price("echo", "large", Unit.IMAGES, NOW - MILLISECOND) == 9
    assert book.price("echo", "large", Unit.IMAGES, NOW) == 5


def test_a_price_is_in_force_from_its_millisecond_on() -> None:
    book = PriceBook([a_price(None, at=LATER), a_price(2, at=NOW), a_price(1)])
    told = [
        book.price("echo", "", Unit.INPUT_TOKENS, moment)
        for moment in (BEGINNING, NOW - MILLISECOND, NOW, LATER - MILLISECOND, LATER)
    ]
    assert told == [1, 1, 2, 2, None]
    assert book.price("echo", "", Unit.INPUT_TOKENS, BEGINNING - MILLISECOND) is None


def test_nothing_costs_nothing_without_any_price() -> None:
    assert PriceBook([]).cost("echo", "", (0,) * len(UNITS), 0, NOW) == 0


def test_one_unit_without_a_price_leaves_the_cost_unknown() -> None:
    used = (3, 0, 4, 0, 0, 0, 0)
    book = PriceBook([a_price(5)])
    assert book.cost("echo", "", used, units_of(used), NOW) is None
    assert book.cost("echo", "", (3, 0, 0, 0, 0, 0, 0), 1, NOW) is not None


def test_a_price_of_nothing_is_a_price() -> None:
    assert PriceBook([a_price(0)]).cost("echo", "", (3, 0, 0, 0, 0, 0, 0), 1, NOW) == 0


def test_changes_are_told_between_two_moments() -> None:
    moments = [datetime(2026, 3, day, tzinfo=UTC) for day in (1, 2, 2, 3, 4)]
    book = PriceBook(a_price(1, model=f"m{number % 2}", at=at) for number, at in enumerate(moments))
    assert book.changes(moments[0], moments[4]) == [moments[1], moments[3]]
    assert book.changes(moments[0] - MILLISECOND, moments[0] + MILLISECOND) == [moments[0]]
    assert book.changes(moments[3], moments[3] + MILLISECOND) == []
