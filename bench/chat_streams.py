"""P2, P3 and P11: what StreamChat adds to a model's own time, with authentication, durable record and metering on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bench.figures import Goal, Result, middle, percentile
from bench.processes import Process
from bench.stage import Stage
from bench.streams import Load, Seen, Target, direct, play, streamed

FIRST_P50 = Goal("P2", "first token, added by StreamChat, 64 streams, p50", 3, "ms", at_most=True)
FIRST_P99 = Goal("P2", "the same, p99", 8, "ms", at_most=True)
IN_TIME = Goal("P3", "256 streams: share of tokens within 100 ms", 0.99, digits=4)
MANY_FIRST_P99 = Goal("P3", "256 streams: first token added, p99", 40, "ms", at_most=True)
PRICE = Goal("P11", "event delivered after durable, added, 64 streams, p50", 1, "ms", at_most=True)
_IN_TIME_SECONDS = 0.1
_WARM_TURNS = 3


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured: a load and rounds of it, `few` for P2 and P11, `many` for P3."""

    few: Load
    few_rounds: int
    many: Load
    many_rounds: int


SHORT = Extent(Load(64, 4, 20), 3, Load(256, 4, 40), 2)
FULL = Extent(Load(64, 12, 20), 5, Load(256, 4, 60), 5)


async def measure(stage: Stage, extent: Extent, goals: Sequence[str]) -> list[Result]:
    """Play rounds in turn on the upstream, on the suite, and on one that keeps no record of its events."""
    results: list[Result] = []
    suite = stage.suite.process
    async with _targets(stage) as targets:
        if "P2" in goals or "P11" in goals:
            first, price, cores = await _few(targets, suite, extent)
            results += [
                Result(FIRST_P50, [p50 for p50, _ in first], _load(extent.few, cores)),
                Result(FIRST_P99, [p99 for _, p99 in first]),
                Result(PRICE, price),
            ]
        if "P3" in goals:
            del targets["unrecorded"]
            in_time, first_p99, cores = await _many(targets, suite, extent)
            results += [
                Result(IN_TIME, in_time, _load(extent.many, cores)),
                Result(MANY_FIRST_P99, first_p99),
            ]
    return [result for result in results if result.goal.name in goals]


def _load(load: Load, cores: list[float]) -> str:
    return f"{load.answers} answers of {load.tokens} tokens a round; the suite took {middle(cores):.2f} of its core"


@asynccontextmanager
async def _targets(stage: Stage) -> AsyncIterator[dict[str, Target]]:
    async with AsyncExitStack() as stack:
        targets: dict[str, Target] = {
            "direct": await stack.enter_async_context(direct(stage.upstream)),
            "suite": await stack.enter_async_context(streamed(stage.suite, stage.token)),
            "unrecorded": await stack.enter_async_context(streamed(stage.unrecorded, stage.token)),
        }
        yield targets


async def _few(
    targets: Mapping[str, Target], suite: Process, extent: Extent
) -> tuple[list[tuple[float, float]], list[float], list[float]]:
    """By round: first token added (p50, p99) and price of durability, in ms; cores that the suite took."""
    load = extent.few
    await _warm(targets, load)
    first, price, cores = [], [], []
    for number in range(extent.few_rounds):
        seen, used = await _round(targets, suite, load, number)
        first.append((_added(seen, 0.5), _added(seen, 0.99)))
        durable, forgotten = (percentile(seen[name].under_way, 0.5) for name in ("suite", "unrecorded"))
        price.append((durable - forgotten) * 1000)
        cores.append(used)
    return first, price, cores


async def _many(
    targets: Mapping[str, Target], suite: Process, extent: Extent
) -> tuple[list[float], list[float], list[float]]:
    """By round: share of tokens in time, first token added (p99, ms), cores that the suite took."""
    load = extent.many
    await _warm(targets, load)
    in_time, first, cores = [], [], []
    for number in range(extent.many_rounds):
        seen, used = await _round(targets, suite, load, number)
        late = sum(seconds > _IN_TIME_SECONDS for seconds in seen["suite"].under_way)
        in_time.append(1 - late / load.offered)
        first.append(_added(seen, 0.99))
        cores.append(used)
    return in_time, first, cores


async def _warm(targets: Mapping[str, Target], load: Load) -> None:
    for target in targets.values():
        await play(target, Load(load.streams, _WARM_TURNS, 5), seed=-1)


async def _round(
    targets: Mapping[str, Target], suite: Process, load: Load, number: int
) -> tuple[dict[str, Seen], float]:
    """The load once on each target, in an order that changes from round to round, and the cores that the suite took."""
    names = list(targets)
    shift = number % len(names)
    seen: dict[str, Seen] = {}
    used = 0.0
    for name in names[shift:] + names[:shift]:
        before = suite.cpu_seconds()
        seen[name] = await play(targets[name], load, seed=number)
        if name == "suite":
            used = (suite.cpu_seconds() - before) / load.seconds
    return seen, used


def _added(seen: Mapping[str, Seen], share: float) -> float:
    """What the suite adds to the first token, in ms."""
    return (
        percentile(seen["suite"].first_token, share) - percentile(seen["direct"].first_token, share)
    ) * 1000
