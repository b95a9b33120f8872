"""Figures as they are told: sums, costs and percentiles, put together from what a store answers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from services.analytics.model.events import UNITS
from services.analytics.model.figures import Durations, Group, Piece, Sum
from services.analytics.model.histogram import added, quantiles
from services.analytics.model.prices import PriceBook, rounded

K = TypeVar("K", bound=Hashable)


class Percentiles(NamedTuple):
    """Of so many durations, in microseconds."""

    of: int
    p50: int
    p90: int
    p99: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Some calls added up. `quantities` are by UNITS. `cost` is in nano-USD: that of the calls whose cost is known, None when something was used and
    no cost of it is. Percentiles are None where no call has the duration."""

    events: int = 0
    success: int = 0
    error: int = 0
    cancelled: int = 0
    refused: int = 0
    quantities: tuple[int, ...] = (0,) * len(UNITS)
    cost: int | None = 0
    unpriced: int = 0
    latency: Percentiles | None = None
    first_token: Percentiles | None = None


NOTHING = Figures()


@dataclass(slots=True)
class _Pile:
    """What is being added up. `parts` are those of a nano-USD."""

    counts: list[int] = field(default_factory=lambda: [0] * 5)
    quantities: list[int] = field(default_factory=lambda: [0] * len(UNITS))
    parts: int = 0
    unpriced: int = 0
    is_priced: bool = False
    latency: list[Mapping[int, int]] = field(default_factory=list)
    first_token: list[Mapping[int, int]] = field(default_factory=list)

    def add(self, row: Sum, cost: int | None) -> None:
        for place, count in enumerate((row.events, row.success, row.error, row.cancelled, row.refused)):
            self.counts[place] += count
        for place, amount in enumerate(row.quantities):
            self.quantities[place] += amount
        if cost is None:
            self.unpriced += row.events
        else:
            self.parts += cost
            self.is_priced = self.is_priced or row.units != 0

    def figures(self) -> Figures:
        events, success, error, cancelled, refused = self.counts
        return Figures(
            events,
            success,
            error,
            cancelled,
            refused,
            quantities=tuple(self.quantities),
            cost=rounded(self.parts) if self.is_priced or not self.unpriced else None,
            unpriced=self.unpriced,
            latency=_percentiles(self.latency),
            first_token=_percentiles(self.first_token),
        )


class Reckoned:
    """A store's answers about one span, priced; figures are folded out of them by step and group.

    Durations are asked for by what they are told by: histograms of every step and group, to be added up here, would be the dearest part of an
    answer. `of_groups` are those of the whole span (step 0), `of_steps` those of all groups together, `of_both` those of each step and group.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        sums: Sequence[Sum],
        book: PriceBook,
        *,
        of_groups: Sequence[Durations] = (),
        of_steps: Sequence[Durations] = (),
        of_both: Sequence[Durations] = (),
    ) -> None:
        self._of_groups, self._of_steps, self._of_both = of_groups, of_steps, of_both
        self._rows = [
            (
                pieces[row.piece].step,
                row,
                book.cost(row.model, row.variant, row.quantities, row.units, pieces[row.piece].start),
            )
            for row in sums
        ]

    def total(self) -> Figures:
        """All of it."""
        return self._by(lambda _step, _group: None, self._of_groups).get(None, NOTHING)

    def by_group(self) -> dict[Group, Figures]:
        """By group, most events first."""
        return self._by(lambda _step, group: group, self._of_groups)

    def by_place(self, place: int) -> dict[str | int, Figures]:
        """By the values of one of the dimensions, most events first."""
        return self._by(lambda _step, group: group[place], self._of_groups)

    def by_step(self) -> dict[int, Figures]:
        """By step, those without calls left out."""
        return self._by(lambda step, _group: step, self._of_steps)

    def by_group_and_step(self) -> dict[tuple[Group, int], Figures]:
        """By both, those without calls left out."""
        return self._by(lambda step, group: (group, step), self._of_both)

    def _by(self, key: Callable[[int, Group], K], durations: Sequence[Durations]) -> dict[K, Figures]:
        piles: dict[K, _Pile] = {}
        for step, row, cost in self._rows:
            piles.setdefault(key(step, row.group), _Pile()).add(row, cost)
        for one in durations:
            # A call that came between the two answers has its duration and no sum.
            pile = piles.get(key(one.step, one.group))
            if pile is not None:
                pile.latency.append(one.latency)
                pile.first_token.append(one.first_token)
        found = {name: pile.figures() for name, pile in piles.items()}
        return dict(sorted(found.items(), key=lambda one: -one[1].events))


def _percentiles(histograms: Sequence[Mapping[int, int]]) -> Percentiles | None:
    histogram = added(histograms)
    if not histogram:
        return None
    p50, p90, p99 = quantiles(histogram, (0.5, 0.9, 0.99))
    return Percentiles(sum(histogram.values()), p50, p90, p99)
