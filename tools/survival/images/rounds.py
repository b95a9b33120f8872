"""Rounds in which servers are killed while callers have images made, and what all of them have to add up to."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import grpc
from antiphon.image.v1 import image_pb2, image_pb2_grpc

from tools.survival.balance import differences, hold_events, hold_figures, hold_reconciled, told_books
from tools.survival.deployed import Stage
from tools.survival.images.callers import Caller, wishes
from tools.survival.images.holding import books_of, hold_callers, hold_generations
from tools.survival.images.index import FILED, Index, Left, Made
from tools.survival.images.tree import hold_tree, lines_of, tree_of, trees_of
from tools.survival.kills import killed, restarted, turn
from tools.survival.stage import Meter
from tools.survival.usage import Kept, begun

_POLL_SECONDS = 0.2
# The lease of a group that a killed process was filing lasts for half a minute, and then comes the sweeper.
_SETTLE_SECONDS = 90.0
# What is held up, in turn, until its server is killed: what comes behind the last word to the object store; the end of a generation, with its
# index rows and its event; what comes between that and the first word to the object store; and the delivery of events.
_HELD_UP = (FILED, "image.images", "image.filing_leases", "image.outbox", "analytics.events")
_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))


@dataclass
class Figures:
    """What the rounds add up to. `faults` is empty when everything held."""

    rounds: int = 0
    callers: list[Caller] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    trees: int = 0
    rows_of_people: int = 0
    lines: int = 0
    metered_images: int = 0
    meter: Meter = field(default_factory=Meter)
    settled_seconds: float = 0.0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    @property
    def told(self) -> int:
        """How many images callers were told."""
        return sum(len(caller.images) for caller in self.callers)

    @property
    def deleted(self) -> int:
        """How many of them they have deleted."""
        return sum(len(caller.deleted) for caller in self.callers)


async def survive(stage: Stage[Index], rounds: int, callers: int, seed: int) -> Figures:
    """Play the rounds, wait until nothing is left to be done, and hold everything against everything."""
    figures, chance = Figures(), random.Random(seed)  # noqa: S311 - nothing secret is drawn.
    began, since = time.monotonic(), datetime.now(UTC)
    for number in range(rounds):
        victims, addresses = turn(stage.replicas, number)
        played = _callers(stage.tokens, callers, chance, addresses)
        figures.callers += played
        what = _HELD_UP[number % len(_HELD_UP)]
        hold_up = partial(stage.tables.held_up, what)
        figures.faults += await killed(victims, played, hold_up, chance)
        figures.rounds += 1
    await _settled(stage, figures)
    await _hold(stage, figures, since)
    figures.seconds = time.monotonic() - began
    return figures


def _callers(
    tokens: Sequence[str], count: int, chance: random.Random, addresses: tuple[str, str]
) -> list[Caller]:
    """Four of five ask the replica first that is to be killed."""
    return [
        Caller(wish, addresses if number % 5 else addresses[::-1], random.Random(chance.random()))  # noqa: S311
        for number, wish in enumerate(wishes(tokens, count, chance))
    ]


async def _settled(stage: Stage[Index], figures: Figures) -> None:
    """Start all of them once more, and wait until nothing runs, is to be filed, or waits for its delivery."""
    await restarted(stage.replicas)
    began = time.monotonic()
    while (left := await stage.tables.left(hasten=True)) != Left(0, 0, 0):
        if time.monotonic() - began > _SETTLE_SECONDS:
            figures.faults.append(
                f"{left.running} generations run, {left.filings} images are not filed, {left.events} usage events wait"
            )
            break
        await asyncio.sleep(_POLL_SECONDS)
    figures.settled_seconds = time.monotonic() - began


async def _hold(stage: Stage[Index], figures: Figures, since: datetime) -> None:
    index, generations = await stage.tables.rows(), await stage.tables.generations()
    tree, kept = await tree_of(stage.blobs), await stage.usage.kept()
    figures.states = Counter(one.state for one in generations)
    figures.rows, figures.trees, figures.lines = len(index), trees_of(tree), lines_of(tree)
    figures.rows_of_people = sum(bool(row.user_id) for row in index.values())
    figures.metered_images = sum(one.images for one in generations)
    figures.faults += hold_callers(index, generations, figures.callers)
    figures.faults += hold_generations(index, generations, figures.deleted)
    figures.faults += hold_tree(index, tree)
    figures.faults += await _hold_usage(stage, figures, generations, kept, since)
    figures.faults += [f"{one.name} logged {line}" for one in stage.replicas for line in one.exceptions]


async def _hold_usage(
    stage: Stage[Index], figures: Figures, generations: Sequence[Made], kept: Kept, since: datetime
) -> list[str]:
    """The table of generations = SummarizeUsage = events = figures = what Reconcile finds."""
    meter = figures.meter
    faults = hold_events(generations, kept) + hold_figures(kept, meter)
    meter.rejected = kept.rejected
    if kept.rejected:
        faults.append(f"Analytics rejected {kept.rejected} events")
    if figures.metered_images != figures.rows + figures.deleted:
        faults.append(
            f"{figures.metered_images} images were metered; {figures.rows} are there, and {figures.deleted} were deleted"
        )
    async with grpc.aio.insecure_channel(stage.replicas[1].address, _OPTIONS) as channel:
        summarize = image_pb2_grpc.ImageServiceStub(channel).SummarizeUsage
        books = await told_books(summarize, image_pb2.SummarizeUsageRequest(), stage.secret, since)
        meter.books = sum(tally[0] for tally in books.values())
        faults += differences("image.generations", books_of(generations), "SummarizeUsage", books)
        faults += differences("SummarizeUsage", books, "events", begun(kept.events))
        faults += await hold_reconciled(channel, stage.administrator, since, meter)
    return faults
