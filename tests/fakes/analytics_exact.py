"""What calls cost, by fractions, and what they add up to, call by call: what any report has to tell."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from fractions import Fraction

from hypothesis import strategies as st

from services.analytics.model.events import UNITS, RecordedEvent
from services.analytics.model.prices import BEGINNING, Price
from services.analytics.model.totals import Figures
from services.capabilities.metering.model import Unit
from tests.fakes.analytics_events import MILLISECOND, micros
from tests.fakes.analytics_stage import MOST_NANO_USD, NOW, a_price
from tests.fakes.analytics_sums import added

PRICED_AMOUNT = {
    **dict.fromkeys(UNITS, 1_000_000),
    Unit.IMAGES: 1,
    Unit.AUDIO_MILLISECONDS: 3_600_000,
}
"""In the contract's words: a million tokens or characters, an image, an hour of audio."""


def exact_cost(event: RecordedEvent, prices: Collection[Price]) -> Fraction | None:
    """In nano-USD; None when something that was used has no price."""
    total = Fraction(0)
    for unit, amount in zip(UNITS, event.quantities, strict=True):
        if amount:
            nano_usd = _in_force(event, unit, prices)
            if nano_usd is None:
                return None
            total += Fraction(amount * nano_usd, PRICED_AMOUNT[unit])
    return total


def exact_figures(events: Collection[RecordedEvent], prices: Collection[Price]) -> Figures:
    """Without percentiles."""
    costs = [exact_cost(event, prices) for event in events]
    known = [cost for cost in costs if cost is not None]
    used_and_priced = any(
        any(event.quantities) for event, cost in zip(events, costs, strict=True) if cost is not None
    )
    is_unknown = None in costs and not used_and_priced
    success, error, cancelled = (
        sum(event.series.status == status for event in events) for status in (1, 2, 3)
    )
    return Figures(
        len(events),
        success,
        error,
        cancelled,
        sum(event.series.refused for event in events),
        quantities=added(event.quantities for event in events),
        # Python rounds fractions to the even one of two.
        cost=None if is_unknown else round(sum(known, Fraction(0))),
        unpriced=costs.count(None),
    )


def without_percentiles(figures: Figures) -> Figures:
    """The same, to be held against exact ones."""
    return replace(figures, latency=None, first_token=None)


def prices_over(models: Iterable[str]) -> st.SearchStrategy[list[Price]]:
    """Prices of models, some of which change in the last days before NOW."""
    # Mostly at hours and between, so that they change at steps and in them.
    moments = st.one_of(
        st.just(BEGINNING),
        st.integers(0, 72).map(lambda hours: NOW.replace(minute=0) - hours * (3_600_000 * MILLISECOND)),
        st.integers(0, 72 * 3_600_000).map(lambda millis: NOW - millis * MILLISECOND),
    )
    return st.lists(
        st.builds(
            a_price,
            st.none() | st.integers(0, 9) | st.just(MOST_NANO_USD),
            model=st.sampled_from(list(models)),
            unit=st.sampled_from(UNITS),
            variant=st.sampled_from(["", "1024x1024"]),
            at=moments,
        ),
        max_size=25,
        unique_by=lambda one: (one.model, one.unit, one.variant, one.effective_time),
    )


def _in_force(event: RecordedEvent, unit: Unit, prices: Collection[Price]) -> int | None:
    for variant in (event.series.variant, ""):
        begun = [
            price
            for price in prices
            if (price.model, price.unit, price.variant) == (event.series.model, unit, variant)
            and micros(price.effective_time) <= event.end_time
        ]
        last = max(begun, key=lambda price: price.effective_time, default=None)
        if last is not None and last.nano_usd is not None:
            return last.nano_usd
    return None
