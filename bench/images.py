"""IMAGES: 200 calls of 20 people at once, each for a picture of 256x256 that `procedural` makes, in a suite with an object store in a folder.

The suite may use all cores, which it shares with the callers and PostgreSQL: pictures are drawn and encoded in processes of its own.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from antiphon.auth.v1 import auth_pb2, auth_pb2_grpc
from antiphon.image.v1 import image_pb2, image_pb2_grpc

from bench.figures import Goal, Result, middle, percentile
from bench.machine import Cores
from bench.processes import BenchmarkFailed, Process, module, running
from bench.stage import work_folder
from services.infra.postgres.embedded import EmbeddedPostgres
from services.infra.postgres.migrations import upgrade

LAG = Goal("IMAGES", "200 images at once: longest lag of the event loop", 50, "ms", at_most=True)
RATE = Goal("IMAGES", "the same: images a second", 25, digits=0)
COST = Goal("IMAGES", "the same: the server's processor time for an image", 15, "ms", at_most=True)
P50 = Goal("IMAGES", "the same: duration of a call, p50", 5000, "ms", at_most=True, digits=0)
P99 = Goal("IMAGES", "the same, p99", 10000, "ms", at_most=True, digits=0)
_PEOPLE = 20
_IMAGES = 200
_CALL_SECONDS = 120.0
_METRICS = r"metrics  http://([^/\s]+)/metrics"

_Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Extent:
    """Rounds."""

    rounds: int


SHORT = Extent(rounds=3)
FULL = Extent(rounds=9)


@dataclass(frozen=True, slots=True)
class _Round:
    """Seconds: of the whole, of each call, of the processor in the server and in its workers, and of the longest lag."""

    whole: float
    calls: Sequence[float]
    server: float
    workers: float
    lag: float


@dataclass(frozen=True, slots=True)
class _Suite:
    """Auth and Image at work, people who are logged in there, and the page of metrics."""

    address: str
    metrics: str
    process: Process
    people: Sequence[_Metadata]

    def lag(self) -> float:
        """The longest that the event loop was late since this was asked before, in seconds. Raises BenchmarkFailed."""
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        found = re.search(r"^antiphon_event_loop_lag_seconds (\S+)$", page, re.MULTILINE)
        if found is None:
            raise BenchmarkFailed("the page of metrics has no lag of the event loop")
        return float(found[1])


async def measure(cores: Cores, extent: Extent) -> list[Result]:
    """Rounds behind one that warms up."""
    async with _suite(cores) as suite, grpc.aio.insecure_channel(suite.address) as channel:
        stub = image_pb2_grpc.ImageServiceStub(channel)
        await _round(suite, stub)
        rounds = [await _round(suite, stub) for _ in range(extent.rounds)]
        server, workers = suite.process.peak_mebibytes(), suite.process.worker_peaks()
    note = (
        f"the workers took {middle([one.workers for one in rounds]) / _IMAGES * 1000:.1f} ms of processor time for an image;"
        f" at most the server had {server:.0f} MiB, and its {len(workers)} workers {max(workers, default=0):.0f} MiB each"
    )
    return [
        Result(LAG, [one.lag * 1000 for one in rounds], note),
        Result(RATE, [_IMAGES / one.whole for one in rounds]),
        Result(COST, [one.server / _IMAGES * 1000 for one in rounds]),
        Result(P50, [percentile(one.calls, 0.5) * 1000 for one in rounds]),
        Result(P99, [percentile(one.calls, 0.99) * 1000 for one in rounds]),
    ]


async def _round(suite: _Suite, stub: image_pb2_grpc.ImageServiceAsyncStub) -> _Round:
    await asyncio.to_thread(suite.lag)
    server, workers = suite.process.cpu_seconds(), suite.process.worker_seconds()
    began = time.monotonic()
    calls = await asyncio.gather(
        *(_call(stub, suite.people[number % _PEOPLE], number) for number in range(_IMAGES))
    )
    return _Round(
        time.monotonic() - began,
        calls,
        suite.process.cpu_seconds() - server,
        suite.process.worker_seconds() - workers,
        await asyncio.to_thread(suite.lag),
    )


async def _call(stub: image_pb2_grpc.ImageServiceAsyncStub, person: _Metadata, number: int) -> float:
    """How long it took in seconds. Raises BenchmarkFailed."""
    request = image_pb2.GenerateImageRequest(
        prompt=f"picture {number}", size="256x256", model="procedural", seed=number
    )
    began = time.monotonic()
    try:
        await stub.GenerateImage(request, metadata=person, timeout=_CALL_SECONDS)
    except grpc.aio.AioRpcError as error:
        raise BenchmarkFailed(f"GenerateImage failed: {error.code().name}, {error.details()}") from None
    return time.monotonic() - began


@asynccontextmanager
async def _suite(cores: Cores) -> AsyncIterator[_Suite]:
    """The database and the objects are on the disk of the checkout, as durable as an operator's."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(work_folder()))
        postgres = EmbeddedPostgres(folder / "data")
        stack.push_async_callback(postgres.stop)
        url = await postgres.start()
        await upgrade(url, ("auth", "image"))
        environment = {
            "DATABASE_URL": url,
            "ANTIPHON_SECRET_KEY": secrets.token_urlsafe(48),
            "ANTIPHON_DATA_DIR": str(folder / "suite"),
            "ANTIPHON_SERVER__PORT": "0",
            "ANTIPHON_METRICS__ADDRESS": "127.0.0.1:0",
            "ANTIPHON_AUTH__ACCESS_TOKEN_TTL": "1d",
            # Counted like anybody's calls, and never refused.
            "ANTIPHON_LIMITS__DEFAULT": "1000000000",
            "ANTIPHON_LIMITS__IMAGE": "1000000000",
            "ANTIPHON_LIMITS__REGISTER": "1000000000",
            "ANTIPHON_LIMITS__LOGIN": "1000000000",
        }
        command = module("services.cli", "serve", "auth", "image")
        process = await stack.enter_async_context(
            running("suite", command, folder, (*cores.server, *cores.others), environment)
        )
        address = await process.said(r"address  (\S+)")
        yield _Suite(address, await process.said(_METRICS), process, await _people(address))


async def _people(address: str) -> list[_Metadata]:
    people: list[_Metadata] = []
    async with grpc.aio.insecure_channel(address) as channel:
        auth = auth_pb2_grpc.AuthServiceStub(channel)
        for number in range(_PEOPLE):
            email, password = f"person{number}@example.com", secrets.token_urlsafe(16)
            await auth.Register(auth_pb2.RegisterRequest(email=email, password=password), timeout=10)
            answer = await auth.Login(auth_pb2.LoginRequest(email=email, password=password), timeout=10)
            people.append((("authorization", f"Bearer {answer.access_token}"),))
    return people
