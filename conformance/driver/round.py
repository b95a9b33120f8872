"""A round: the cases with the languages, one after the other, on the same suites."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from conformance.driver.cases import Case
from conformance.driver.failures import DriverFailed, RunnerFailed
from conformance.driver.languages import Language
from conformance.driver.playing import play
from conformance.driver.runner import started
from conformance.driver.suite import ServerTls, Suites
from conformance.driver.table import Outcome

Told = Callable[[str, str, Outcome], None]


async def play_all(
    languages: Sequence[Language], cases: Sequence[Case], folder: Path, tls: ServerTls | None, told: Told
) -> dict[str, dict[str, Outcome]]:
    """What became of each case with each language. A case of which the runner dies fails, and the next one has a new runner.

    Raises DriverFailed when a suite can't be had. `told` hears of every outcome.
    """
    suites = Suites(folder, tls)
    outcomes: dict[str, dict[str, Outcome]] = {language.name: {} for language in languages}
    try:
        for language in languages:
            await _of_language(language, cases, folder, suites, outcomes[language.name], told)
    finally:
        await suites.stop()
    return outcomes


async def _of_language(
    language: Language,
    cases: Sequence[Case],
    folder: Path,
    suites: Suites,
    outcomes: dict[str, Outcome],
    told: Told,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        runner = None
        for case in cases:
            if language.name in case.exempt:
                why = case.exempt[language.name]
                outcome = Outcome(left_out=f"{why.because} ({why.issue})")
            else:
                try:
                    if runner is None or not runner.alive:
                        runner = await stack.enter_async_context(started(language, folder))
                    outcome = Outcome(await play(case, runner, suites))
                except (RunnerFailed, TimeoutError) as failure:
                    outcome = Outcome([str(failure) or "it did not end in time"])
                except DriverFailed as failure:
                    outcome = Outcome([f"the driver failed: {failure}"])
            outcomes[case.name] = outcome
            told(language.name, case.name, outcome)
