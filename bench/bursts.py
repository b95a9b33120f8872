"""P4: how many chunks a second the suite brings from a model that does not pause to its callers, against a relay that keeps nothing."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
from antiphon.chat.v1 import chat_pb2

from bench.figures import Goal, Result, middle
from bench.machine import Cores
from bench.processes import BenchmarkFailed, Process, module, running
from bench.stage import MODEL, Stage, work_folder
from bench.upstream import BURST_TOKEN

CHUNKS = Goal("P4", "burst upstream, 64 streams: chunks a second", 150_000, digits=0)
TO_RELAY = Goal("P4", "the same against a relay without record", 0.5)
_STREAM_CHAT = "/antiphon.chat.v1.ChatService/StreamChat"
_CALL_SECONDS = 120.0
# Of what arrives only the answer's length is looked at: a protobuf field that a message of deltas always has.
_TOKEN = BURST_TOKEN.encode()


@dataclass(frozen=True, slots=True)
class Extent:
    """Rounds; in each, every one of 64 streams brings `answers` answers of `tokens`."""

    rounds: int
    answers: int
    tokens: int
    streams: int = 64

    @property
    def chunks(self) -> int:
        """How many the upstream sends in a round."""
        return self.streams * self.answers * self.tokens


SHORT = Extent(rounds=3, answers=2, tokens=4000)
FULL = Extent(rounds=5, answers=6, tokens=4000)


@dataclass(frozen=True, slots=True)
class _Target:
    channel: grpc.aio.Channel
    metadata: tuple[tuple[str, str], ...]
    process: Process


async def measure(stage: Stage, cores: Cores, extent: Extent) -> list[Result]:
    """Put the same load on both in turn."""
    with work_folder() as name:
        command = module("bench.relay", stage.upstream)
        async with running("relay", command, Path(name), cores.server) as relay:
            port = await relay.said(r"ready (\d+)")
            async with (
                grpc.aio.insecure_channel(f"127.0.0.1:{port}") as plain,
                grpc.aio.insecure_channel(stage.suite.address) as suite,
            ):
                targets = {
                    "suite": _Target(
                        suite, (("authorization", f"Bearer {stage.token}"),), stage.suite.process
                    ),
                    "relay": _Target(plain, (), relay),
                }
                return await _rounds(targets, extent)


async def _rounds(targets: Mapping[str, _Target], extent: Extent) -> list[Result]:
    for target in targets.values():
        await _load(target, Extent(1, 1, 500))
    rates: dict[str, list[float]] = {name: [] for name in targets}
    cpu: dict[str, list[float]] = {name: [] for name in targets}
    for number in range(extent.rounds):
        names = list(targets) if number % 2 else list(targets)[::-1]
        for name in names:
            used, began = targets[name].process.cpu_seconds(), time.monotonic()
            await _load(targets[name], extent)
            rates[name].append(extent.chunks / (time.monotonic() - began))
            cpu[name].append((targets[name].process.cpu_seconds() - used) / extent.chunks * 1e6)
    note = "; ".join(
        f"{name} {middle(rates[name]):,.0f} chunks/s, {middle(cpu[name]):.1f} µs of processor time each"
        for name in targets
    )
    ratios = [mine / bare for mine, bare in zip(rates["suite"], rates["relay"], strict=True)]
    return [
        Result(CHUNKS, rates["suite"], f"{extent.chunks:,} chunks a round; {note}"),
        Result(TO_RELAY, ratios),
    ]


async def _load(target: _Target, extent: Extent) -> None:
    """All streams side by side. Raises BenchmarkFailed when chunks are missing."""

    async def stream() -> int:
        return sum([await _answer(target, extent.tokens) for _ in range(extent.answers)])

    seen = sum(await asyncio.gather(*(stream() for _ in range(extent.streams))))
    if seen != extent.chunks:
        raise BenchmarkFailed(f"{extent.chunks} chunks were sent, and {seen} came")


async def _answer(target: _Target, tokens: int) -> int:
    request = chat_pb2.StreamChatRequest(
        request_id=str(uuid.uuid4()),
        model=MODEL,
        message="As fast as you can.",
        parameters=chat_pb2.Parameters(max_output_tokens=tokens, temperature=0),
    )
    # Messages come as bytes: reading them must not be what is slow.
    asked: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = target.channel.unary_stream(_STREAM_CHAT)
    call = asked(request.SerializeToString(), metadata=target.metadata, timeout=_CALL_SECONDS)
    count = 0
    try:
        async for message in call:
            count += message.count(_TOKEN)
    except grpc.aio.AioRpcError as error:
        raise BenchmarkFailed(f"StreamChat failed: {error.code().name}, {error.details()}") from None
    return count
