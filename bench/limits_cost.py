"""What rate limits add to a call: their interceptor around a servicer that answers at once, with limits off, counted in memory, and
counted in PostgreSQL for all replicas.

Each caller asks one call after the other, 1, 16 or 64 callers at once, each a person of its own. Two things are measured: what a call
takes of the process's processor time, and, where it is counted in PostgreSQL, how long it waits for the answer: until a statement comes
back that takes along all that gathered meanwhile.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from antiphon.chat.v1 import chat_pb2

from bench.figures import Goal, Result, middle
from bench.processes import BenchmarkFailed
from bench.stage import work_folder
from services.capabilities.limits.wiring import build
from services.infra.postgres.database import Database
from services.infra.postgres.embedded import EmbeddedPostgres
from services.infra.postgres.migrations import upgrade
from services.kernel.principal import Kind, Principal
from services.kernel.request import Request
from services.runtime.call import Call, Method, Proceed
from services.runtime.interceptors.limits import Limits
from services.runtime.policy import OPEN
from services.settings import LimitSettings

CALLERS = (1, 16, 64)
IN_MEMORY = Goal(
    "LIMITS", "processor time of a call's limit, counted in memory", 0.01, "ms", at_most=True, digits=4
)
SHARED = Goal(
    "LIMITS", "the same in PostgreSQL, for all replicas, 64 callers", 0.1, "ms", at_most=True, digits=4
)
SHARED_WAIT = Goal("LIMITS", "wait for PostgreSQL's answer, 64 callers", 5, "ms", at_most=True)
_PATH = "/antiphon.chat.v1.ChatService/GetSession"
# Nobody reaches it within a run, so every call is counted.
_NEVER = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Extent:
    """Rounds, and seconds that each place and number of callers has in one."""

    rounds: int
    seconds: float


SHORT = Extent(3, 0.3)
FULL = Extent(5, 1.0)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a call, in milliseconds: processor time, and how long it took."""

    processor: float
    wait: float


async def measure(extent: Extent) -> list[Result]:
    """Rounds in which the three take turns."""
    costs: dict[tuple[str, int], list[Cost]] = {}
    async with _ways() as ways:
        for number in range(extent.rounds):
            names = list(ways)
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                for callers in CALLERS:
                    costs.setdefault((name, callers), []).append(
                        await _cost(ways[name], callers, extent.seconds)
                    )
    fewest, most = CALLERS[0], CALLERS[-1]
    processor = ", ".join(
        f"{name} "
        + " / ".join(f"{middle([c.processor for c in costs[name, n]]) * 1000:.1f}" for n in CALLERS)
        for name in ways
    )
    waits = " / ".join(f"{middle([cost.wait for cost in costs['postgres', n]]):.2f}" for n in CALLERS)
    numbers = " / ".join(map(str, CALLERS))
    note = f"with {numbers} callers, a call's µs of processor time: {processor}; its ms until PostgreSQL answered: {waits}"
    return [
        Result(IN_MEMORY, _added(costs["memory", fewest], costs["off", fewest]), note),
        Result(SHARED, _added(costs["postgres", most], costs["off", most])),
        Result(SHARED_WAIT, [cost.wait for cost in costs["postgres", most]]),
    ]


def _added(costs: Sequence[Cost], without: Sequence[Cost]) -> list[float]:
    return [one.processor - other.processor for one, other in zip(costs, without, strict=True)]


@asynccontextmanager
async def _ways() -> AsyncIterator[Mapping[str, Proceed]]:
    """A call's way through the interceptor, by where it is counted."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(work_folder()))
        postgres = EmbeddedPostgres(folder / "data")
        stack.push_async_callback(postgres.stop)
        url = await postgres.start()
        await upgrade(url, ("chat",))
        database = await stack.enter_async_context(Database(url))
        ways = {}
        for name, number, sole_owner in (
            ("off", 0, True),
            ("memory", _NEVER, True),
            ("postgres", _NEVER, False),
        ):
            limits = await stack.enter_async_context(
                build(
                    LimitSettings(default=number),
                    database,
                    "chat",
                    key=secrets.token_bytes(32),
                    sole_owner=sole_owner,
                )
            )
            method = Method(
                path=_PATH,
                policy=OPEN,
                request_class=chat_pb2.GetSessionRequest,
                response_class=chat_pb2.GetSessionResponse,
                request_streaming=False,
                response_streaming=False,
                behavior=_servicer,
                limit=limits.of("default"),
            )
            ways[name] = Limits().bind(method, _answer)
        yield ways


async def _answer(call: Call) -> Any:
    return call


async def _servicer(request: Any, context: Any) -> Any:
    return request


class _Context:
    """As much of gRPC's context as the interceptor touches."""

    def set_trailing_metadata(self, metadata: object) -> None:
        """See grpc.aio."""


async def _cost(way: Proceed, callers: int, seconds: float) -> Cost:
    began, used, end = time.perf_counter(), time.process_time(), time.perf_counter() + seconds
    counts = await asyncio.gather(*(_ask(way, f"person {number}", end) for number in range(callers)))
    calls = sum(counts)
    took = time.perf_counter() - began
    return Cost((time.process_time() - used) / calls * 1000, took * callers / calls * 1000)


async def _ask(way: Proceed, user_id: str, end: float) -> int:
    principal = Principal(Kind.USER, user_id=user_id)
    context, clock, count = cast("Any", _Context()), time.perf_counter, 0
    while clock() < end:
        # What does not suspend would keep the others from their turn.
        await asyncio.sleep(0)
        for _ in range(16):
            call = Call(context, None, (), Request("", _PATH, "192.0.2.1", principal))
            if await way(call) is not call:
                raise BenchmarkFailed("a call was not answered")
        count += 16
    return count
