"""Languages and cases as a table, and why what failed did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from conformance.driver.cases import Case


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case with a language: it passed, differed, was left out for a reason that it names, or could not be played."""

    differences: Sequence[str] = ()
    left_out: str = ""
    unknown: str = ""

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not (self.differences or self.left_out or self.unknown)

    @property
    def why(self) -> str:
        """Why it has not passed."""
        return "; ".join(self.differences) or self.unknown or self.left_out

    @property
    def sign(self) -> str:
        """One character for it."""
        return "✗" if self.differences else "?" if self.unknown else "–" if self.left_out else "✓"


Outcomes = Mapping[str, Mapping[str, Outcome]]
"""By language, then by case."""


def table(cases: Sequence[Case], outcomes: Outcomes) -> str:
    """A line for each case, a column for each language, how many passed, and below why others did not."""
    width = max((len(case.name) for case in cases), default=0)
    lines = [" " * width + "".join(f"  {language}" for language in outcomes)]
    for case in cases:
        signs = (f"  {outcomes[language][case.name].sign:^{len(language)}}" for language in outcomes)
        lines.append(f"{case.name:<{width}}{''.join(signs)}".rstrip())
    passed = (sum(each.passed for each in outcomes[language].values()) for language in outcomes)
    counts = (f"  {count:>{len(language)}}" for language, count in zip(outcomes, passed, strict=True))
    lines.append(f"{f'passed, of {len(cases)}':<{width}}{''.join(counts)}")
    reasons = [
        f"{outcome.sign} {language} {name}: {outcome.why}"
        for language, by_case in outcomes.items()
        for name, outcome in by_case.items()
        if not outcome.passed
    ]
    return "\n".join([*lines, "", *reasons] if reasons else lines)


def status(outcomes: Outcomes) -> int:
    """0 when all is as expected, 1 when anything differed, 2 when something could not be found out, or nothing was played."""
    found = [each for by_case in outcomes.values() for each in by_case.values()]
    if any(each.differences for each in found):
        return 1
    if any(each.unknown for each in found):
        return 2
    return 0 if all(any(each.passed for each in by_case.values()) for by_case in outcomes.values()) else 2
