"""Languages and cases as a table, and why what failed did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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


def table(cases: Sequence[Case], outcomes: Outcomes, columns: int = 0) -> str:
    """A line for each case, a column for each language, how many passed, and below why others did not. Languages are numbered where their
    names need more than so many `columns`; 0 are as many as it takes."""
    total = f"passed, of {len(cases)}"
    first = max(len(text) for text in (total, *(case.name for case in cases)))
    heads, room, above = list(outcomes), "  ", []
    if 0 < columns < first + sum(len(room + head) for head in heads):
        above = [*(f"{number} {language}" for number, language in enumerate(outcomes, 1)), ""]
        heads, room = [f"{number:^{len(str(len(cases)))}}" for number in range(1, len(heads) + 1)], " "
    rows = [["", *heads]]
    for case in cases:
        signs = (outcomes[language][case.name].sign for language in outcomes)
        rows.append([case.name, *(f"{sign:^{len(head)}}" for sign, head in zip(signs, heads, strict=True))])
    passed = (sum(each.passed for each in by_case.values()) for by_case in outcomes.values())
    rows.append([total, *(f"{count:>{len(head)}}" for count, head in zip(passed, heads, strict=True))])
    lines = [room.join([f"{name:<{first}}", *cells]).rstrip() for name, *cells in rows]
    reasons = [line for language, by_case in outcomes.items() for line in _reasons(language, by_case)]
    return "\n".join([*above, *lines, *(["", *reasons] if reasons else [])])


def _reasons(language: str, by_case: Mapping[str, Outcome]) -> Iterator[str]:
    """Why cases have not passed; what kept several from being played stands there once."""
    kept: dict[str, list[str]] = {}
    for name, outcome in by_case.items():
        if outcome.unknown:
            kept.setdefault(outcome.unknown, []).append(name)
        elif not outcome.passed:
            yield f"{outcome.sign} {language} {name}: {outcome.why}"
    for why, names in kept.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"? {language} {names[0]}{more}: {why}"


def status(outcomes: Outcomes) -> int:
    """0 when all is as expected, 1 when anything differed, 2 when something could not be found out, or nothing was played."""
    found = [each for by_case in outcomes.values() for each in by_case.values()]
    if any(each.differences for each in found):
        return 1
    if any(each.unknown for each in found):
        return 2
    return 0 if all(any(each.passed for each in by_case.values()) for by_case in outcomes.values()) else 2
