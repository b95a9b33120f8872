"""CLIENTS: calls and streamed messages a second, by the client of each language, told by the driver of the conformance cases what to do.

A runner is on the cores that the suite is not on, with PostgreSQL.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from bench.figures import Goal, Result, middle
from bench.processes import BenchmarkFailed
from bench.stage import Stage, work_folder
from bench.usage_delivery import tree_seconds
from conformance.driver.building import built
from conformance.driver.failures import BuildFailed, RunnerFailed, ToolsMissing
from conformance.driver.languages import LANGUAGES, ROOT
from conformance.driver.runner import Runner, started

# The runner of `python-sync` waits in threads where its users do not: its figures would be those of the runner. Rust alone is
# built in another way for speed than for tests.
_LANGUAGES = {
    **{name: language for name, language in LANGUAGES.items() if name != "python-sync"},
    "rust": replace(
        LANGUAGES["rust"],
        run=[str(ROOT / "build" / "rust" / "release" / "antiphon-conformance")],
        build=[[*command, "--release"] for command in LANGUAGES["rust"].build],
    ),
}
_CLIENT = "bench"
_MANY = 16
_OPEN_SECONDS = 30.0
# A call that is under way when the time is over ends within a minute.
_END_SECONDS = 90.0
# Answers that a turn left go on in the suite; the next turn begins when it is idle, or after so many glances.
_GLANCE_SECONDS = 0.1
_GLANCES = 30
_IDLE, _BUSY = 0.2, 0.9


@dataclass(frozen=True, slots=True)
class Load:
    """What the op `bench` of a runner is asked for, and the rate that is wanted of every language."""

    kind: str
    callers: int
    what: str
    wanted: int

    def goal(self, language: str) -> Goal:
        """The goal of one language."""
        return Goal("CLIENTS", f"{self.what}: {language}", self.wanted, digits=0)


LOADS = (
    Load("unary", 1, "calls a second, 1 at once", 150),
    Load("unary", _MANY, "calls a second, 16 at once", 400),
    Load("stream", 1, "streamed messages a second, 1 at once", 500),
    Load("stream", _MANY, "streamed messages a second, 16 at once", 2000),
)


@dataclass(frozen=True, slots=True)
class Extent:
    """Rounds, seconds of each language's turn with each load in a round, and those that it warms up for: compilers at run time need some."""

    rounds: int
    seconds: float
    warm_seconds: float


SHORT = Extent(rounds=3, seconds=0.8, warm_seconds=2.5)
FULL = Extent(rounds=7, seconds=2.0, warm_seconds=10.0)


@dataclass(frozen=True, slots=True)
class Turn:
    """What came in a second, and what the client, the suite and PostgreSQL took of a core meanwhile."""

    rate: float
    client: float
    suite: float
    postgres: float


class Client:
    """A runner that has a client open."""

    def __init__(self, runner: Runner, stage: Stage) -> None:
        self._runner = runner
        self._suite = stage.suite.process
        self._usage = psutil.Process(runner.pid)
        self._postmaster = stage.postmaster

    async def turn(self, load: Load, seconds: float) -> Turn:
        """One run of a load. Raises BenchmarkFailed."""
        await self._idle()
        used, began = self._used(), time.monotonic()
        try:
            running = await self._runner.begin(
                "bench", client=_CLIENT, kind=load.kind, seconds=seconds, concurrency=load.callers
            )
            told = await self._runner.end(running, seconds + _END_SECONDS)
        except RunnerFailed as failure:
            raise BenchmarkFailed(f"{self._runner.language.name}, {load.what}: {failure}") from None
        if not told.get("count"):
            raise BenchmarkFailed(f"{self._runner.language.name}, {load.what}: nothing came, but {told}")
        taken = time.monotonic() - began
        shares = [(after - before) / taken for before, after in zip(used, self._used(), strict=True)]
        return Turn(told["count"] / told["seconds"], *shares)

    async def _idle(self) -> None:
        for _ in range(_GLANCES):
            used = self._suite.cpu_seconds()
            await asyncio.sleep(_GLANCE_SECONDS)
            if self._suite.cpu_seconds() - used <= _IDLE * _GLANCE_SECONDS:
                return

    def _used(self) -> tuple[float, float, float]:
        return tree_seconds(self._usage), self._suite.cpu_seconds(), tree_seconds(self._postmaster)


async def measure(stage: Stage, extent: Extent, say: Callable[[str], None]) -> list[Result]:
    """All languages in turn with each load, round after round. Raises BenchmarkFailed."""
    async with _clients(stage, say) as (clients, missing):
        for client in clients.values():
            for load in LOADS:
                if load.callers == _MANY:
                    await client.turn(load, extent.warm_seconds)
        rounds = [await _round(clients, number, extent.seconds) for number in range(extent.rounds)]
    results = [Result(LOADS[0].goal(language), [], why) for language, why in missing.items()]
    for load in LOADS:
        turns = {language: [one[load, language] for one in rounds] for language in clients}
        found = [Result(load.goal(language), [turn.rate for turn in turns[language]]) for language in turns]
        results += [replace(one, note=_note(load, turns) if one is found[0] else "") for one in found]
    return results


async def _round(clients: Mapping[str, Client], number: int, seconds: float) -> dict[tuple[Load, str], Turn]:
    names = list(clients)
    shift = number % len(names) if names else 0
    return {
        (load, name): await clients[name].turn(load, seconds)
        for load in LOADS
        for name in names[shift:] + names[:shift]
    }


def _note(load: Load, turns: Mapping[str, Sequence[Turn]]) -> str:
    costs = "; ".join(f"{language} {_costs(turns[language])}" for language in turns)
    return f"{load.what}, processor time for each of the client, and what it, the suite and PostgreSQL took of a core: {costs}"


def _costs(turns: Sequence[Turn]) -> str:
    each = 1e6 * middle([turn.client / turn.rate for turn in turns])
    client = middle([turn.client for turn in turns])
    suite = middle([turn.suite for turn in turns])
    postgres = middle([turn.postgres for turn in turns])
    return f"{each:.0f} µs, {client:.2f} + {suite:.2f} + {postgres:.2f}{_limit(client, suite, postgres)}"


def _limit(client: float, suite: float, postgres: float) -> str:
    """Which side takes all of its core; none when they wait for one another, or for the disk."""
    if suite >= _BUSY:
        return " (the suite is the limit)"
    if client + postgres >= _BUSY:
        return f" ({'the client' if client > postgres else 'PostgreSQL'} is the limit)"
    return ""


@asynccontextmanager
async def _clients(
    stage: Stage, say: Callable[[str], None]
) -> AsyncIterator[tuple[dict[str, Client], dict[str, str]]]:
    """Clients that are logged in at the stage's suite, by language, and why others are missing."""
    clients, missing = {}, {}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(work_folder()))
        for name, language in _LANGUAGES.items():
            try:
                await asyncio.to_thread(built, language, say)
                runner = await stack.enter_async_context(started(language, folder))
                await runner.do(
                    "open",
                    _OPEN_SECONDS,
                    client=_CLIENT,
                    address=stage.suite.address,
                    token=stage.token,
                    retries=1,
                )
            except ToolsMissing as failure:
                missing[name] = f"left out: {failure}"
            except (BuildFailed, RunnerFailed) as failure:
                raise BenchmarkFailed(str(failure)) from None
            else:
                clients[name] = Client(runner, stage)
        yield clients, missing
