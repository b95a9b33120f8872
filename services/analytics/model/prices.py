"""Prices over time, and costs in exact whole numbers."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from services.analytics.model.events import UNITS
from services.capabilities.metering.model import Unit

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""From when on the first price of something is in force unless somebody says otherwise."""

_MILLION = 1_000_000
_PRICED_AMOUNT = {
    Unit.INPUT_TOKENS: _MILLION,
    Unit.CACHED_INPUT_TOKENS: _MILLION,
    Unit.OUTPUT_TOKENS: _MILLION,
    Unit.REASONING_TOKENS: _MILLION,
    Unit.IMAGES: 1,
    Unit.CHARACTERS: _MILLION,
    Unit.AUDIO_MILLISECONDS: 3_600_000,
}
"""How much of a unit a price is for: a million tokens or characters, an image, an hour of audio."""

PARTS = 18_000_000
"""A cost is a whole number of parts of a nano-USD: all amounts that prices are for divide this."""

_PARTS_PER_UNIT = tuple(PARTS // _PRICED_AMOUNT[unit] for unit in UNITS)


class PriceSource(Enum):
    """Who set a price; numbers as in antiphon.analytics.v1.PriceSource."""

    CATALOG = 1
    ADMINISTRATOR = 2


@dataclass(frozen=True, slots=True)
class Price:
    """What something costs from `effective_time` on, which is in whole milliseconds: nano-USD for so much of the unit as prices are for; None: it
    has no price from then on."""

    price_id: str
    model: str
    unit: Unit
    variant: str
    nano_usd: int | None
    effective_time: datetime
    source: PriceSource
    create_time: datetime


def parts(unit: Unit, amount: int, nano_usd: int) -> int:
    """What an amount costs, in parts of a nano-USD, exactly."""
    return amount * nano_usd * _PARTS_PER_UNIT[unit.value - 1]


def rounded(cost_parts: int) -> int:
    """Nano-USD of a cost: the nearest one, of two that are equally near the even one."""
    whole, rest = divmod(cost_parts, PARTS)
    if 2 * rest > PARTS or (2 * rest == PARTS and whole % 2):
        whole += 1
    return whole


class PriceBook:
    """All prices of a moment's knowledge. Lookups do not wait."""

    def __init__(self, prices: Iterable[Price]) -> None:
        """`prices` in any order, at most one of the same model, unit, variant and effective_time."""
        self._found: dict[tuple[str, str, Unit], tuple[list[datetime], list[int | None]]] = {}
        for price in sorted(prices, key=lambda one: one.effective_time):
            times, amounts = self._found.setdefault((price.model, price.variant, price.unit), ([], []))
            times.append(price.effective_time)
            amounts.append(price.nano_usd)

    def changes(self, start: datetime, end: datetime) -> list[datetime]:
        """The moments between the two at which a price changes, in order."""
        inside = {
            moment
            for times, _ in self._found.values()
            for moment in times[bisect.bisect_right(times, start) : bisect.bisect_left(times, end)]
        }
        return sorted(inside)

    def price(self, model: str, variant: str, unit: Unit, moment: datetime) -> int | None:
        """The price of the variant that is in force at the moment, else that of all variants; None when there is none."""
        for which in dict.fromkeys((variant, "")):
            found = self._found.get((model, which, unit))
            if found is not None:
                place = bisect.bisect_right(found[0], moment) - 1
                if place >= 0 and found[1][place] is not None:
                    return found[1][place]
        return None

    def cost(
        self, model: str, variant: str, quantities: Sequence[int], units: int, moment: datetime
    ) -> int | None:
        """What quantities by UNITS cost, in parts of a nano-USD; `units` has the bits of those that were used. None when one of them has no
        price."""
        total = 0
        for place, unit in enumerate(UNITS):
            if units >> place & 1:
                price = self.price(model, variant, unit, moment)
                if price is None:
                    return None
                total += parts(unit, quantities[place], price)
        return total
