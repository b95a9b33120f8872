"""What services, events and figures say of the same calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


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


@dataclass(frozen=True, slots=True)
class Books:
    """What a service says of a span. `pending`: how many of the events have still to be delivered."""

    tallies: Tallies = field(default_factory=dict)
    pending: int = 0
