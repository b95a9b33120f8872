"""Cases, and the files that they are read from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from conformance.driver.checking import ROUNDS, deeds_of, wrong_in
from conformance.driver.failures import CaseInvalid
from conformance.driver.values import Json

FOLDER = Path(__file__).resolve().parents[1] / "cases"
_STOPS = frozenset({"restart", "kill"})


@dataclass(frozen=True, slots=True)
class Exempt:
    """Why a language does not pass a case, and where that is known."""

    because: str
    issue: str


@dataclass(frozen=True, slots=True)
class Case:
    """What every client has to observe."""

    name: str
    says: str
    steps: Sequence[Mapping[str, Json]]
    suite: str = "plain"
    people: Sequence[str] = ("ana",)
    rounds: Sequence[str] = ROUNDS
    let: Mapping[str, Json] = field(default_factory=dict)
    exempt: Mapping[str, Exempt] = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        """Whether it stops the suite, so that no other case can be played meanwhile."""
        return not _STOPS.isdisjoint(deed for step in self.steps for deed in deeds_of(step))


def read(folder: Path = FOLDER) -> list[Case]:
    """All cases, by file and in their order. Raises CaseInvalid."""
    cases = [case for path in sorted(folder.glob("*.json")) for case in _of_file(path)]
    names = [case.name for case in cases]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise CaseInvalid(f"two cases have the name {', '.join(sorted(doubled))}")
    return cases


def _of_file(path: Path) -> Iterator[Case]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CaseInvalid(f"{path.name} is no JSON: {error}") from error
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise CaseInvalid(f"{path.name} holds no list of cases")
    for each in found:
        where = f"{path.name}: {each.get('name', 'a case without a name')}"
        for wrong in wrong_in(path.stem, each):
            raise CaseInvalid(f"{where}: {wrong}")
        exempt = {language: Exempt(**why) for language, why in each.get("except", {}).items()}
        given = {key: each[key] for key in ("suite", "people", "rounds", "let") if key in each}
        yield Case(name=each["name"], says=each["says"], steps=each["steps"], exempt=exempt, **given)
