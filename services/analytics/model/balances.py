"""What services, events and figures say of the same calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from services.analytics.model.events import UNITS


class Account(NamedTuple):
    """Whose calls, of which model, and how they ended. `status` is the number of the UsageStatus."""

    user_id: str
    model: str
    status: int


class Tally(NamedTuple):
    """A number of calls, and what they used, by UNITS."""

    events: int
    quantities: tuple[int, ...]


Tallies = Mapping[Account, Tally]

NOTHING = Tally(0, (0,) * len(UNITS))


class FigureTallies(NamedTuple):
    """What three kinds of rows say of the same calls at one moment: the events, the figures by person, and the figures of the whole system, whose
    accounts name no people."""

    events: Tallies
    people: Tallies
    system: Tallies


@dataclass(frozen=True, slots=True)
class Books:
    """What a service says of a span. `pending`: how many of the events have still to be delivered."""

    tallies: Tallies = field(default_factory=dict)
    pending: int = 0


def by_model(tallies: Tallies) -> dict[Account, Tally]:
    """The same without the people."""
    found: dict[Account, Tally] = {}
    for account, tally in tallies.items():
        nobody = account._replace(user_id="")
        found[nobody] = plus(found.get(nobody, NOTHING), tally)
    return found


def summed(tallies: Tallies) -> Tally:
    """What all accounts have together."""
    return added(tallies.values())


def added(tallies: Iterable[Tally]) -> Tally:
    """All of them together."""
    total = NOTHING
    for tally in tallies:
        total = plus(total, tally)
    return total


def plus(one: Tally, other: Tally) -> Tally:
    """Both together."""
    return Tally(
        one.events + other.events, tuple(a + b for a, b in zip(one.quantities, other.quantities, strict=True))
    )


def minus(one: Tally, other: Tally) -> Tally:
    """What the first has more; negative where it has less."""
    return Tally(
        one.events - other.events, tuple(a - b for a, b in zip(one.quantities, other.quantities, strict=True))
    )
