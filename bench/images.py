"""IMAGES: 200 calls of 20 people at once, each for a picture of 256x256 that `procedural` makes, in a suite with an object store in a folder.

The suite may use all cores, which it shares with the callers and PostgreSQL: pictures are drawn and encoded in processes of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from antiphon.image.v1 import image_pb2, image_pb2_grpc

from bench.figures import Goal, Result, middle, percentile
from bench.machine import Cores
from bench.media import MediaSuite, Metadata, media_suite
from bench.processes import BenchmarkFailed

LAG = Goal("IMAGES", "200 images at once: longest lag of the event loop", 50, "ms", at_most=True)
RATE = Goal("IMAGES", "the same: images a second", 25, digits=0)
COST = Goal("IMAGES", "the same: the server's processor time for an image", 15, "ms", at_most=True)
P50 = Goal("IMAGES", "the same: duration of a call, p50", 5000, "ms", at_most=True, digits=0)
P99 = Goal("IMAGES", "the same, p99", 10000, "ms", at_most=True, digits=0)
_PEOPLE = 20
_IMAGES = 200
_CALL_SECONDS = 120.0


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


async def measure(cores: Cores, extent: Extent) -> list[Result]:
    """Rounds behind one that warms up."""
    async with (
        media_suite(cores, "image", _PEOPLE) as suite,
        grpc.aio.insecure_channel(suite.address) as channel,
    ):
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


async def _round(suite: MediaSuite, stub: image_pb2_grpc.ImageServiceAsyncStub) -> _Round:
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


async def _call(stub: image_pb2_grpc.ImageServiceAsyncStub, person: Metadata, number: int) -> float:
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
