"""What was measured against what is wanted, and the table of both."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -(-round(share * 1000) * len(ordered) // 1000) - 1))]


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal of the design: `limit` is the least that is wanted, or with `at_most` the most."""

    name: str
    what: str
    limit: float
    unit: str = ""
    at_most: bool = False
    digits: int = 2

    def met(self, value: float) -> bool:
        """Whether the value is as good as wanted."""
        return value <= self.limit if self.at_most else value >= self.limit

    @property
    def wanted(self) -> str:
        """As it stands in the table."""
        return f"{'≤' if self.at_most else '≥'} {self._text(self.limit)}"

    def shown(self, values: Sequence[float]) -> str:
        """The median of rounds, and how far they were apart."""
        median, low, high = statistics.median(values), min(values), max(values)
        return f"{self._text(median)} ({low:.{self.digits}f}–{high:.{self.digits}f})"

    def _text(self, value: float) -> str:
        sign = "+" if self.unit == "ms" and value >= 0 else ""
        return f"{sign}{value:.{self.digits}f}{' ' if self.unit else ''}{self.unit}"


@dataclass(frozen=True, slots=True)
class Result:
    """A goal and one value per round; none when it could not be measured, and `note` says why or adds absolute figures."""

    goal: Goal
    rounds: Sequence[float]
    note: str = ""

    def row(self) -> tuple[str, str, str, str, str]:
        """Goal, what is measured, wanted, measured, met."""
        goal = self.goal
        if not self.rounds:
            return goal.name, goal.what, goal.wanted, self.note, "not measured"
        met = goal.met(statistics.median(self.rounds))
        return goal.name, goal.what, goal.wanted, goal.shown(self.rounds), "yes" if met else "no"


HEAD = ("goal", "what", "wanted", "measured, median (min–max)", "met")


def table(results: Sequence[Result]) -> str:
    """The results as a Markdown table, aligned so that it reads well on a terminal, too."""
    rows = [HEAD, *(result.row() for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def middle(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)
