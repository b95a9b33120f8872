"""What the rounds are played on, and what they add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from services.kernel.secret import DeploymentSecret
from tools.survival.clients import End
from tools.survival.ledger import Ledger
from tools.survival.refusals import Refusals
from tools.survival.replicas import Replica
from tools.survival.usage import UsageLedger


@dataclass
class Meter:
    """What is told of usage: by Chat's books and its table, by the events, by the figures, and by Reconcile; `events` are all, and `refused` of them began
    nothing. `relays` are those that had the turn
    to deliver, one after the other."""

    books: int = 0
    events: int = 0
    refused: int = 0
    figures: list[int] = field(default_factory=list)
    refused_sent: int = 0
    refused_told: int = 0
    refused_events: int = 0
    set_aside: int = 0
    rejected: int = 0
    reconciled: str = ""
    relays: set[str] = field(default_factory=set)


@dataclass
class Figures:
    """What the rounds add up to. `faults` is empty when everything held; `is_dark` says that both replicas are taken away in this round."""

    rounds: int = 0
    streams: int = 0
    resumed: int = 0
    begun_again: int = 0
    ends: Counter[End] = field(default_factory=Counter)
    mismatches: int = 0
    generations: int = 0
    doubled_events: int = 0
    missing_events: int = 0
    meter: Meter = field(default_factory=Meter)
    taken_over: int = 0
    woken_writes: int = 0
    longest_late: float = 0.0
    longest_dark: float = 0.0
    is_dark: bool = False
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


@dataclass
class Deployment:
    """Two replicas on one store: `first` is the one that is killed or paused, `second` sees it happen. `tokens` are those of people, and `secret` is
    the deployment's."""

    first: Replica
    second: Replica
    ledger: Ledger
    usage: UsageLedger
    secret: DeploymentSecret
    administrator: str
    tokens: Sequence[str]
    lease_seconds: float
    refusals: Refusals = field(default_factory=Refusals)

    def turned(self) -> Deployment:
        """The same with the two in each other's place."""
        return replace(self, first=self.second, second=self.first)
