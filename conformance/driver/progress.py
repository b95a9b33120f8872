"""What a round has come to, for whoever waits for its end."""

from __future__ import annotations

from typing import Self, TextIO

from conformance.driver.table import Outcome


class Progress:
    """Told of every outcome, it says what failed as it happens, in a line for each; why is said below the table. On a terminal its last line
    counts the cases, and is gone behind the block; elsewhere each language has a line at its end."""

    def __init__(self, cases: int, out: TextIO) -> None:
        self._cases = cases
        self._out = out
        self._on_terminal = out.isatty()
        self._shown = ""
        self._played: dict[str, list[Outcome]] = {}
        self._told: set[tuple[str, str]] = set()

    def __enter__(self) -> Self:
        self._show("starting …")
        return self

    def __exit__(self, *_: object) -> None:
        self._show("")

    def __call__(self, language: str, case: str, outcome: Outcome) -> None:
        played = self._played.setdefault(language, [])
        played.append(outcome)
        if self._is_news(language, outcome):
            self._say(f"{language} {case}: {outcome.sign}")
        if len(played) == self._cases and not self._on_terminal:
            self._say(f"{language}: {sum(each.passed for each in played)} of {self._cases} passed")
        self._show(f"{language}: {len(played)} of {self._cases}")

    def _is_news(self, language: str, outcome: Outcome) -> bool:
        """What holds up case after case is said once."""
        if outcome.unknown:
            new = (language, outcome.unknown) not in self._told
            self._told.add((language, outcome.unknown))
            return new
        return bool(outcome.differences)

    def _say(self, line: str) -> None:
        self._show("")
        self._out.write(f"{line}\n")
        self._out.flush()

    def _show(self, line: str) -> None:
        if self._on_terminal:
            self._out.write("\r" + " " * len(self._shown) + "\r" + line)
            self._out.flush()
            self._shown = line
