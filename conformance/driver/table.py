"""Languages and cases as a table, and why what failed did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from conformance.driver.cases import Case


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case with a language: it passed, differed, or was left out for a reason that it names."""

    differences: Sequence[str] = ()
    left_out: str = ""

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.differences and not self.left_out

    @property
    def sign(self) -> str:
        """One character for it."""
        return "–" if self.left_out else "✗" if self.differences else "✓"


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
        f"{outcome.sign} {language} {name}: {'; '.join(outcome.differences) or outcome.left_out}"
        for language, by_case in outcomes.items()
        for name, outcome in by_case.items()
        if not outcome.passed
    ]
    return "\n".join([*lines, "", *reasons] if reasons else lines)


def all_passed(outcomes: Outcomes) -> bool:
    """Whether nothing differed."""
    return not any(each.differences for by_case in outcomes.values() for each in by_case.values())
