"""`python -m tools.survival.cancelled`: thousands of streams are cancelled in every way, and leave the serving process as it was."""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc
from google.protobuf.duration_pb2 import Duration

from services.infra.postgres.embedded import EmbeddedPostgres
from services.infra.postgres.migrations import upgrade
from tools.survival.ledger import SqlLedger
from tools.survival.people import people
from tools.survival.replicas import ROOT, SERVICES, Replica, free_port, settings
from tools.survival.upstream import CountingUpstream, counting_upstream
from tools.survival.usage import SqlUsageLedger

_CHANNEL_STREAMS = 10
_DEADLINE_SECONDS = 0.3
_SETTLE_SECONDS = 30.0
_MORE_DESCRIPTORS = 10
_WAYS = ("cancel", "connection", "rpc", "deadline")
_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
# Its answer would take a minute: nothing but the leaving ends it.
_PARAMETERS = chat_pb2.Parameters(max_output_tokens=1200, temperature=0.05)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a process holds: memory in MiB, descriptors, threads, and the calls and generations that it is at, -1 where it does not tell."""

    rss: float
    descriptors: int
    threads: int
    calls: int
    generations: int

    def __str__(self) -> str:
        running = "" if self.generations < 0 else f", {self.generations} generations"
        return (
            f"{self.rss:.1f} MiB, {self.descriptors} descriptors, {self.threads} threads, "
            f"{self.calls} calls in flight{running}"
        )


@dataclass
class Report:
    """What was seen. `faults` is empty when everything held."""

    streams: int = 0
    before: Reading | None = None
    after: Reading | None = None
    slowest_stop: float = 0.0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


class Process:
    """The serving process, looked at from outside."""

    def __init__(self, pid: int, metrics_port: int) -> None:
        self._process = psutil.Process(pid)
        self._page = f"http://127.0.0.1:{metrics_port}/metrics"

    async def read(self) -> Reading:
        """The smallest of some readings: what is just being freed is not held."""
        readings = []
        for _ in range(5):
            readings.append(await asyncio.to_thread(self._read))
            await asyncio.sleep(0.3)
        return min(readings, key=lambda one: (one.calls, one.generations, one.descriptors, one.rss))

    async def settled(self, before: Reading) -> Reading:
        """What is held once connections that were idle for a while are closed, or after a while: a leak stays."""
        end = time.monotonic() + _SETTLE_SECONDS
        while True:
            now = await self.read()
            if now.descriptors - before.descriptors <= _MORE_DESCRIPTORS or time.monotonic() > end:
                return now

    def _read(self) -> Reading:
        with urllib.request.urlopen(self._page, timeout=10) as answer:  # noqa: S310 - the page of our own process.
            page = answer.read().decode()
        return Reading(
            rss=self._process.memory_info().rss / 2**20,
            descriptors=self._process.num_fds(),
            threads=self._process.num_threads(),
            calls=_sum(page, r"antiphon_calls_in_flight"),
            generations=_sum(page, r"antiphon_chat_generations_running"),
        )


def _sum(page: str, name: str) -> int:
    found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", page, re.MULTILINE)
    return sum(int(float(number)) for number in found) if found else -1


@dataclass
class Crowd:
    """Callers that come in waves and leave."""

    address: str
    tokens: Sequence[str]
    upstream: CountingUpstream
    chance: random.Random
    report: Report

    async def wave(self, count: int) -> None:
        """So many streams at once, which leave in all ways at random moments; waits until the model is left alone."""
        groups = [
            self._group(_WAYS[number % len(_WAYS)], min(_CHANNEL_STREAMS, count - begin))
            for number, begin in enumerate(range(0, count, _CHANNEL_STREAMS))
        ]
        await asyncio.gather(*groups)
        left = time.monotonic()
        while self.upstream.open:
            if time.monotonic() - left > _SETTLE_SECONDS:
                self.report.faults.append(f"{self.upstream.open} calls to the model were left open")
                return
            await asyncio.sleep(0.01)
        self.report.slowest_stop = max(self.report.slowest_stop, time.monotonic() - left)
        self.report.streams += count

    async def _group(self, way: str, count: int) -> None:
        channel = grpc.aio.insecure_channel(self.address, _OPTIONS)
        try:
            stub = chat_pb2_grpc.ChatServiceStub(channel)
            streams = [asyncio.create_task(self._stream(way, stub)) for _ in range(count)]
            if way == "connection":
                await asyncio.sleep(self.chance.uniform(0.02, 0.4))
                await channel.close()
            await asyncio.gather(*streams)
        finally:
            await channel.close()

    async def _stream(self, way: str, stub: Any) -> None:
        token = self.chance.choice(["", *self.tokens])
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        request = chat_pb2.StreamChatRequest(
            message="Count",
            model="counting",
            parameters=_PARAMETERS,
            on_disconnect=chat_pb2.ON_DISCONNECT_STOP,
            disconnect_grace=Duration(),
        )
        timeout = _DEADLINE_SECONDS if way == "deadline" else 60.0
        call = stub.StreamChat(request, metadata=metadata, timeout=timeout)
        patience = {"cancel": self.chance.randrange(6), "rpc": 1 + self.chance.randrange(5)}.get(way, 10_000)
        started = chat_pb2.Started()
        try:
            for _ in range(patience):
                response = await call.read()
                if response is grpc.aio.EOF:
                    self.report.faults.append(f"{way}: the answer ended by itself")
                    return
                started = response.event.started if response.event.HasField("started") else started
            if way == "rpc":
                cancel = chat_pb2.CancelGenerationRequest(
                    generation_id=started.generation_id, resume_token=started.resume_token
                )
                await stub.CancelGeneration(cancel, metadata=metadata, timeout=20)
                while await call.read() is not grpc.aio.EOF:
                    pass
            call.cancel()
        except grpc.aio.AioRpcError as error:
            if way != "deadline" or error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                self.report.faults.append(f"{way}: {error.code().name} {error.details()}")
        except asyncio.CancelledError:
            # The library cancels the readers of a channel that is closed.
            if way != "connection":
                raise


async def cancel_streams(streams: int, wave: int, warm: int, folder: Path, seed: int) -> Report:
    """The whole play: `warm` streams before the first reading, then `streams`, in waves."""
    report = Report()
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(counting_upstream())
        url = await stack.enter_async_context(EmbeddedPostgres(folder / "database").running())
        await upgrade(url, SERVICES)
        ledger = SqlLedger(url)
        stack.push_async_callback(ledger.close)
        metrics = free_port()
        environment = settings(folder, upstream.url, 10.0, {"DATABASE_URL": url})
        replica = Replica(
            "suite", folder, {**environment, "ANTIPHON_METRICS__ADDRESS": f"127.0.0.1:{metrics}"}, SERVICES
        )
        stack.push_async_callback(asyncio.to_thread, replica.stop)
        replica.start()
        await replica.up()
        process = Process(replica.pid, metrics)
        tokens = await people(replica.address, 3)
        chance = random.Random(seed)  # noqa: S311 - nothing secret is drawn.
        crowd = Crowd(replica.address, tokens, upstream, chance, report)
        await _waves(crowd, warm, wave)
        report.streams = 0
        report.before = await process.read()
        print(f"{'after the warm-up of ' + str(warm):40} {report.before}", flush=True)
        for begin in range(0, streams, streams // 4 or 1):
            await _waves(crowd, min(streams // 4 or 1, streams - begin), wave)
            report.after = await process.read()
            print(f"{'after ' + str(report.streams) + ' cancelled streams':40} {report.after}", flush=True)
        await _delivered(ledger, report)
        assert report.before is not None
        report.after = await process.settled(report.before)
        entries, metered = await ledger.entries(), (await SqlUsageLedger(url).kept()).event_ids
        running = sum(entry.state == "running" for entry in entries)
        if running:
            report.faults.append(f"{running} generations still run")
        if sorted(metered) != sorted(entry.event_id or "" for entry in entries):
            report.faults.append("usage events are missing or doubled")
        report.faults += [f"the suite logged {line}" for line in replica.exceptions]
    report.seconds = time.monotonic() - began
    return report


async def _delivered(ledger: SqlLedger, report: Report) -> None:
    """Wait until no usage event is on its way any more."""
    end = time.monotonic() + _SETTLE_SECONDS
    while (await ledger.waiting()).event_ids:
        if time.monotonic() > end:
            report.faults.append("usage events were not delivered")
            return
        await asyncio.sleep(0.1)


async def _waves(crowd: Crowd, streams: int, wave: int) -> None:
    for begin in range(0, streams, wave):
        await crowd.wave(min(wave, streams - begin))


def hold(report: Report, mebibytes: float) -> None:
    """Note what grew."""
    before, after = report.before, report.after
    assert before is not None
    assert after is not None
    if after.rss - before.rss > mebibytes:
        report.faults.append(f"memory grew by {after.rss - before.rss:.1f} MiB")
    # A pool of connections breathes; a leak of one in a hundred streams would be seen.
    if after.descriptors - before.descriptors > _MORE_DESCRIPTORS:
        report.faults.append(f"{after.descriptors - before.descriptors} descriptors were left open")
    if after.calls > 0 or after.generations > 0:
        report.faults.append("calls or generations were left in flight")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.survival.cancelled", description=__doc__)
    parser.add_argument("--streams", type=int, default=4000, help="how many are cancelled (default 4000)")
    parser.add_argument("--wave", type=int, default=200, help="how many at once (default 200)")
    parser.add_argument(
        "--warm", type=int, default=3000, help="how many before the first reading (default 3000)"
    )
    parser.add_argument("--grow", type=float, default=15.0, help="MiB that count as noise (default 15)")
    parser.add_argument("--seed", type=int, default=1, help="of the random choices (default 1)")
    return parser.parse_args()


async def _main() -> int:
    arguments = _arguments()
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="cancelled-", dir=ROOT / "build", ignore_cleanup_errors=True
    ) as made:
        report = await cancel_streams(
            arguments.streams, arguments.wave, arguments.warm, Path(made), arguments.seed
        )
    hold(report, arguments.grow)
    assert report.before is not None
    assert report.after is not None
    print(f"{'memory, after less before':40} {report.after.rss - report.before.rss:+.1f} MiB")
    print(f"{'slowest end of a wave of calls to the model':40} {report.slowest_stop:.2f} s")
    print(f"{'seconds':40} {report.seconds:.0f}")
    for fault in sorted(set(report.faults))[:20]:
        print(f"  FAULT {fault}")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
