"""P7: what a usage event costs on its way into the figures, and how long questions about many of them take.

The costs are processor time: of the process that enqueues or delivers, here this one, or of the suite that is told by RPC. What PostgreSQL
takes for the same is told beside them. Questions are asked by RPC, with a tenth of the events and with all of them.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc

from bench.figures import Goal, Result, middle
from bench.machine import Cores
from bench.processes import BenchmarkFailed, Process, module, running
from bench.stage import work_folder
from bench.usage_delivery import RETENTION, Cost, Delivery
from bench.usage_events import Month, is_balanced, load
from bench.usage_questions import GROUPED, LEADERS, PERSON, SYSTEM, Questions, Taken, taken
from services.analytics.stores.usage import SqlUsageStore
from services.infra.postgres.database import Database
from services.infra.postgres.embedded import EmbeddedPostgres
from services.infra.postgres.migrations import upgrade

ENQUEUED = Goal(
    "P7", "a refused call enqueued and put into the outbox, of 1,000", 10, "µs", at_most=True, digits=1
)
DELIVERED = Goal("P7", "event delivered and rolled up, in batches of 1,000", 30, "µs", at_most=True, digits=1)
DELIVERED_500 = Goal("P7", "the same, in batches of 500", 30, "µs", at_most=True, digits=1)
BY_RPC = Goal(
    "P7", "the same by RPC, of Analytics' process, batches of 1,000", 30, "µs", at_most=True, digits=1
)
ASKED = {
    about: Goal("P7", f"question: {about}", 20, "ms", at_most=True)
    for about in (SYSTEM, PERSON, GROUPED, LEADERS)
}
FLAT = Goal("P7", "the slowest growth of them with ten times the events", 1.5, at_most=True)
_ADMINISTRATOR = "admin@antiphon.local"
_ENQUEUED_CALLS = 1000
_OFTEN = 20


@dataclass(frozen=True, slots=True)
class Extent:
    """Rounds; events that are loaded, events that are delivered in a round, and how often each question is asked in one."""

    rounds: int
    loaded: int
    delivered: int
    asked: int


SHORT = Extent(rounds=3, loaded=300_000, delivered=4_000, asked=5)
FULL = Extent(rounds=5, loaded=10_000_000, delivered=20_000, asked=20)


@dataclass(frozen=True, slots=True)
class Suite:
    """Auth and Analytics at work on the same database. `token` is an administrator's."""

    address: str
    process: Process
    secret: str
    token: str


async def measure(cores: Cores, extent: Extent, say: Callable[[str], None]) -> list[Result]:
    """Questions first, which need the load, and then the costs, on tables that are full."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(work_folder()))
        postgres = EmbeddedPostgres(folder / "data")
        stack.push_async_callback(postgres.stop)
        url = await postgres.start()
        assert postgres.postmaster_pid is not None
        await upgrade(url, ("auth", "chat", "analytics"))
        database = await stack.enter_async_context(Database(url))
        store = SqlUsageStore(database, event_retention=RETENTION, figure_retention=RETENTION)
        await store.tidy()
        suite = await stack.enter_async_context(_suite(url, folder, cores))
        delivery = Delivery(database, store, psutil.Process(postgres.postmaster_pid))
        results = await _questions(suite, delivery, extent, say)
        return [*await _costs(suite, delivery, extent), *results]


async def _questions(
    suite: Suite, delivery: Delivery, extent: Extent, say: Callable[[str], None]
) -> list[Result]:
    month = Month.until_now()
    took: list[dict[str, list[Taken]]] = []
    loaded = 0
    async with grpc.aio.insecure_channel(suite.address) as channel:
        questions = Questions(channel, suite.token, month)
        for more in (extent.loaded // 10, extent.loaded - extent.loaded // 10):
            say(f"P7: loading {more:,} events …")
            loaded += await load(delivery.database, delivery.store, month, more)
            if await questions.total() != loaded or not await is_balanced(delivery.store, month):
                raise BenchmarkFailed(f"the figures are not those of the {loaded:,} events that were loaded")
            took.append({about: [] for about in ASKED})
            for _ in range(extent.rounds):
                for about, ask in questions.all().items():
                    took[-1][about].append(await taken(ask, extent.asked, suite.process, delivery.postmaster))
    few, many = took
    growth = [
        max(many[about][number].wait / few[about][number].wait for about in ASKED)
        for number in range(extent.rounds)
    ]
    note = (
        f"with {extent.loaded // 10:,} and {extent.loaded:,} events, milliseconds until the answer (processor time of the suite + of PostgreSQL): "
        + "; ".join(f"{about} {_told(few[about])} and {_told(many[about])}" for about in ASKED)
    )
    waits = {about: [one.wait for one in many[about]] for about in ASKED}
    return [*(Result(goal, waits[about]) for about, goal in ASKED.items()), Result(FLAT, growth, note)]


def _told(rounds: Sequence[Taken]) -> str:
    wait, suite, postgres = (middle(column) for column in zip(*rounds, strict=True))
    return f"{wait:.1f} ({suite:.1f} + {postgres:.1f})"


async def _costs(suite: Suite, delivery: Delivery, extent: Extent) -> list[Result]:
    chance = random.Random(1)
    # The first time everybody is new.
    await delivery.delivered(extent.delivered, 1000, chance)
    await delivery.delivered_by_rpc(extent.delivered, suite.address, suite.process, suite.secret, chance)
    enqueued, by_1000, by_500, by_rpc = [], [], [], []
    for _ in range(extent.rounds):
        enqueued += [await delivery.enqueued(_ENQUEUED_CALLS) for _ in range(_OFTEN)]
        by_1000.append(await delivery.delivered(extent.delivered, 1000, chance))
        by_500.append(await delivery.delivered(extent.delivered, 500, chance))
        by_rpc.append(
            await delivery.delivered_by_rpc(
                extent.delivered, suite.address, suite.process, suite.secret, chance
            )
        )
    return [
        Result(ENQUEUED, _here(enqueued), f"PostgreSQL took {_postgres(enqueued)} µs for each refused call"),
        Result(DELIVERED, _here(by_1000), f"PostgreSQL took {_postgres(by_1000)} µs for each event"),
        Result(DELIVERED_500, _here(by_500), f"in batches of 500 {_postgres(by_500)} µs"),
        Result(
            BY_RPC,
            [cost.suite for cost in by_rpc],
            f"by RPC the relay's process took {middle(_here(by_rpc)):.1f} µs, PostgreSQL {_postgres(by_rpc)} µs",
        ),
    ]


def _here(costs: Sequence[Cost]) -> list[float]:
    return [cost.here for cost in costs]


def _postgres(costs: Sequence[Cost]) -> str:
    return f"{middle([cost.postgres for cost in costs]):.1f}"


@asynccontextmanager
async def _suite(url: str, folder: Path, cores: Cores) -> AsyncIterator[Suite]:
    secret = secrets.token_urlsafe(48)
    environment = {
        "DATABASE_URL": url,
        "ANTIPHON_SECRET_KEY": secret,
        "ANTIPHON_DATA_DIR": str(folder / "suite"),
        "ANTIPHON_SERVER__PORT": "0",
        "ANTIPHON_METRICS__ADDRESS": "off",
        "ANTIPHON_AUTH__ACCESS_TOKEN_TTL": "1d",
        "ANTIPHON_LIMITS__DEFAULT": "1000000000",
        "ANTIPHON_LIMITS__ADMIN": "1000000000",
    }
    command = module("services.cli", "serve", "auth", "analytics")
    async with running("suite", command, folder, cores.server, environment) as process:
        address = await process.said(r"address  (\S+)")
        password = await process.said(r"  password (\S+)\n")
        async with grpc.aio.insecure_channel(address) as channel:
            answer = await auth_pb2_grpc.AuthServiceStub(channel).Login(
                auth_pb2.LoginRequest(email=_ADMINISTRATOR, password=password), timeout=10
            )
        yield Suite(address, process, secret, str(answer.access_token))
