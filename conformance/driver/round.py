"""A round: the cases with the languages, one language after the other, on the same suites."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from conformance.driver.cases import Case
from conformance.driver.failures import CaseInvalid, DriverFailed, RunnerFailed, RunnerMute
from conformance.driver.languages import Language
from conformance.driver.playing import play
from conformance.driver.runner import Runner, started
from conformance.driver.suite import Suites
from conformance.driver.table import Outcome

Told = Callable[[str, str, Outcome], None]

AT_ONCE = 4
"""How many cases are played at the same time, unless others are asked for; most of them wait most of the time."""


async def play_all(
    languages: Sequence[Language],
    cases: Sequence[Case],
    folder: Path,
    suites: Suites,
    told: Told,
    at_once: int = AT_ONCE,
) -> dict[str, dict[str, Outcome]]:
    """What became of each case with each language, in the order of the cases. Those that stop the suite are played alone, behind the
    others. Cases during which the runner dies fail, and the next one has a new runner. When that doesn't say hello, nothing is known of
    the cases that are left.

    `suites` are stopped behind them, and `told` hears of every outcome.
    """
    outcomes: dict[str, dict[str, Outcome]] = {}
    try:
        for language in languages:
            outcomes[language.name] = await _of_language(language, cases, folder, suites, told, at_once)
    finally:
        await suites.stop()
    return outcomes


async def _of_language(
    language: Language,
    cases: Sequence[Case],
    folder: Path,
    suites: Suites,
    told: Told,
    at_once: int,
) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    room = asyncio.Semaphore(at_once)

    async def outcome_of(case: Case) -> None:
        async with room:
            outcomes[case.name] = outcome = await _outcome(case, runners, suites)
            told(language.name, case.name, outcome)

    async with _Runners.of(language, folder) as runners:
        async with asyncio.TaskGroup() as together:
            for case in cases:
                if not case.alone:
                    together.create_task(outcome_of(case))
        for case in cases:
            if case.alone:
                await outcome_of(case)
    return {case.name: outcomes[case.name] for case in cases}


async def _outcome(case: Case, runners: _Runners, suites: Suites) -> Outcome:
    if why := case.exempt.get(runners.language.name):
        return Outcome(left_out=f"{why.because} ({why.issue})")
    try:
        return Outcome(await play(case, await runners.alive(), suites))
    except RunnerMute as failure:
        return Outcome(unknown=str(failure))
    except (RunnerFailed, TimeoutError) as failure:
        return Outcome([str(failure) or "it did not end in time"])
    except (CaseInvalid, DriverFailed) as failure:
        return Outcome(unknown=f"the driver failed: {failure}")
    except Exception as failure:
        # A defect of the driver, or a case that it should have refused, is no reason to lose the others.
        return Outcome(unknown=f"the driver failed: {failure!r}")


class _Runners:
    """A language's runner, and another one when it has died."""

    def __init__(self, language: Language, folder: Path, stack: contextlib.AsyncExitStack) -> None:
        self.language = language
        self._folder = folder
        self._stack = stack
        self._starting = asyncio.Lock()
        self._runner: Runner | None = None
        self._mute: RunnerMute | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, language: Language, folder: Path) -> AsyncIterator[_Runners]:
        """Ends with the block, and with it the runners."""
        async with contextlib.AsyncExitStack() as stack:
            yield cls(language, folder, stack)

    async def alive(self) -> Runner:
        """A runner that can be told to do something. Raises RunnerMute when there is none, and does so again without another try: a
        limit to how long a runner that is broken holds a round up."""
        async with self._starting:
            if self._mute is not None:
                raise self._mute
            if self._runner is None or not self._runner.alive:
                try:
                    self._runner = await self._stack.enter_async_context(started(self.language, self._folder))
                except RunnerFailed as failure:
                    self._mute = RunnerMute(str(failure))
                    raise self._mute from failure
            return self._runner
