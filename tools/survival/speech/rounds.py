"""Rounds in which servers are killed while callers have texts spoken, and what all of them have to add up to."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import grpc
from antiphon.speech.v1 import speech_pb2, speech_pb2_grpc

from tools.survival.balance import differences, hold_events, hold_figures, hold_reconciled, told_books
from tools.survival.deployed import Stage
from tools.survival.kills import killed, restarted, turn
from tools.survival.speech.callers import Caller
from tools.survival.speech.holding import books_of, hold_callers, hold_generations, hold_hearings
from tools.survival.speech.spools import Spools
from tools.survival.speech.tables import COMMITTED, Left, Made, Tables
from tools.survival.speech.tree import hold_tree, tree_of, trees_of
from tools.survival.speech.wishes import wishes
from tools.survival.stage import Meter
from tools.survival.usage import Kept, begun

_POLL_SECONDS = 0.2
# What a killed process was about to remove is left alone for a minute.
_SETTLE_SECONDS = 120.0
# What is held up, in turn, until its server is killed: what comes between the objects and the row; what would come behind the row, if
# anything did; the beginning and the end of generations; what a deletion or an end leaves to remove; the claims; and the delivery of events.
_HELD_UP = (
    "speech.tts_conversions",
    COMMITTED,
    "speech.generations",
    "speech.removals",
    "speech.claims",
    "speech.outbox",
    "analytics.events",
)
_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))


@dataclass
class Figures:
    """What the rounds add up to. `unrecorded` are objects of conversions that were not in the table in the moments in which servers
    were killed that were held up. `faults` is empty when everything held."""

    rounds: int = 0
    callers: list[Caller] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    trees: int = 0
    unrecorded: int = 0
    characters: tuple[int, int] = (0, 0)
    milliseconds: int = 0
    spools: int = 0
    spools_left: int = 0
    meter: Meter = field(default_factory=Meter)
    settled_seconds: float = 0.0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    @property
    def told(self) -> int:
        """How many conversions callers were told."""
        return sum(caller.conversion is not None for caller in self.callers)

    @property
    def deleted(self) -> int:
        """How many of them they have deleted."""
        return sum(caller.deleted for caller in self.callers)


async def survive(stage: Stage[Tables], rounds: int, callers: int, seed: int, data: Path) -> Figures:
    """Play the rounds, wait until nothing is left to be done, and hold everything against everything. `data` is the folder of both replicas."""
    figures, chance = Figures(), random.Random(seed)  # noqa: S311 - nothing secret is drawn.
    began, since = time.monotonic(), datetime.now(UTC)
    spools = Spools(stage.replicas, data / "spool")
    watching = asyncio.create_task(spools.watch())
    try:
        for number in range(rounds):
            await _round(stage, figures, callers, chance, number)
            if left := await spools.left():
                figures.spools_left += left
                figures.faults.append(f"behind round {number}, {left} files of the spool stay open")
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    figures.spools = spools.most
    await _settled(stage, figures)
    await _hold(stage, figures, since)
    figures.seconds = time.monotonic() - began
    return figures


async def _round(
    stage: Stage[Tables], figures: Figures, count: int, chance: random.Random, number: int
) -> None:
    """Four of five callers ask the replica first that is to be killed; the fifth leaves before it is answered."""
    victims, addresses = turn(stage.replicas, number)
    callers = [
        Caller(wish, addresses if each % 5 != 4 else addresses[::-1], random.Random(chance.random()))  # noqa: S311
        for each, wish in enumerate(wishes(stage.tokens, count, chance, len(figures.callers)))
    ]
    figures.callers += callers
    hold_up = partial(_held_up, stage, figures, _HELD_UP[number % len(_HELD_UP)])
    figures.faults += await killed(victims, callers, hold_up, chance)
    figures.rounds += 1


@asynccontextmanager
async def _held_up(
    stage: Stage[Tables], figures: Figures, table: str, names: Sequence[str], seconds: float
) -> AsyncIterator[None]:
    async with stage.tables.held_up(table, names, seconds):
        rows = await stage.tables.rows()
        stored = {entry.key.split("/")[4] async for entry in stage.blobs.list("requests/")}
        figures.unrecorded += len(stored - rows.keys())
        yield


async def _settled(stage: Stage[Tables], figures: Figures) -> None:
    """Start all of them once more, and wait until nothing runs, is to be removed, or waits for its delivery."""
    await restarted(stage.replicas)
    began = time.monotonic()
    while (left := await stage.tables.left()) != Left(0, 0, 0):
        if time.monotonic() - began > _SETTLE_SECONDS:
            figures.faults.append(
                f"{left.running} generations run, {left.removals} conversions are not removed, {left.events} usage events wait"
            )
            break
        await asyncio.sleep(_POLL_SECONDS)
    figures.settled_seconds = time.monotonic() - began


async def _hold(stage: Stage[Tables], figures: Figures, since: datetime) -> None:
    rows, generations = await stage.tables.rows(), await stage.tables.generations()
    tree, kept = await tree_of(stage.blobs), await stage.usage.kept()
    figures.states = Counter(one.state for one in generations)
    figures.rows, figures.trees = len(rows), trees_of(tree)
    made = [one for one in generations if one.state == "completed"]
    figures.characters = sum(one.asked for one in made), sum(one.characters for one in made)
    figures.milliseconds = sum(one.milliseconds for one in made)
    figures.faults += hold_callers(rows, figures.callers)
    figures.faults += hold_hearings(rows, tree, figures.callers)
    figures.faults += hold_generations(rows, tree, generations, figures.callers)
    figures.faults += hold_tree(rows, tree)
    figures.faults += [
        f"the request_id {one} stands for nothing that was made" for one in await stage.tables.stale_claims()
    ]
    figures.faults += await _hold_usage(stage, figures, generations, kept, since)
    figures.faults += [f"{one.name} logged {line}" for one in stage.replicas for line in one.exceptions]


async def _hold_usage(
    stage: Stage[Tables], figures: Figures, generations: Sequence[Made], kept: Kept, since: datetime
) -> list[str]:
    """The table of generations = SummarizeUsage = events = figures = what Reconcile finds."""
    meter = figures.meter
    faults = hold_events(generations, kept) + hold_figures(kept, meter)
    meter.rejected = kept.rejected
    if kept.rejected:
        faults.append(f"Analytics rejected {kept.rejected} events")
    async with grpc.aio.insecure_channel(stage.replicas[1].address, _OPTIONS) as channel:
        summarize = speech_pb2_grpc.SpeechServiceStub(channel).SummarizeUsage
        books = await told_books(summarize, speech_pb2.SummarizeUsageRequest(), stage.secret, since)
        meter.books = sum(tally[0] for tally in books.values())
        faults += differences("speech.generations", books_of(generations), "SummarizeUsage", books)
        faults += differences("SummarizeUsage", books, "events", begun(kept.events))
        faults += await hold_reconciled(channel, stage.administrator, since, meter)
    return faults
