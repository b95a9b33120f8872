"""P6: Chat, an answer that is not streamed, over a model that takes 20 ms."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass

import grpc
from antiphon.chat.v1 import chat_pb2

from bench.figures import Goal, Result, middle, percentile
from bench.processes import BenchmarkFailed, Process
from bench.stage import MODEL, Stage

AT_16 = Goal("P6", "Chat over a 20 ms model, 16 callers: calls a second", 500, digits=0)
AT_64 = Goal("P6", "the same, 64 callers", 1000, digits=0)
ADDED_P99 = Goal("P6", "added to the model's 20 ms, 16 callers, p99", 15, "ms", at_most=True)
_MODEL_SECONDS = 0.02
_CHAT = "/antiphon.chat.v1.ChatService/Chat"


@dataclass(frozen=True, slots=True)
class Extent:
    """Rounds, and seconds of each number of callers in a round."""

    rounds: int
    seconds: float


SHORT = Extent(rounds=3, seconds=2.0)
FULL = Extent(rounds=5, seconds=6.0)


async def measure(stage: Stage, extent: Extent) -> list[Result]:
    """16 and 64 callers in turn. Each call has a request_id and opens a session."""
    async with grpc.aio.insecure_channel(stage.suite.address) as channel:
        caller = _Caller(channel, stage.token)
        await _load(caller, stage.suite.process, 64, 1.0)
        rates: dict[int, list[float]] = {16: [], 64: []}
        cores: dict[int, list[float]] = {16: [], 64: []}
        added = []
        for _ in range(extent.rounds):
            for callers in rates:
                rate, used, took = await _load(caller, stage.suite.process, callers, extent.seconds)
                rates[callers].append(rate)
                cores[callers].append(used)
                if callers == 16:
                    added.append((percentile(took, 0.99) - _MODEL_SECONDS) * 1000)
    note = "; ".join(f"{count} callers took {middle(used):.2f} of the core" for count, used in cores.items())
    return [Result(AT_16, rates[16], note), Result(AT_64, rates[64]), Result(ADDED_P99, added)]


async def _load(
    caller: _Caller, process: Process, callers: int, seconds: float
) -> tuple[float, float, list[float]]:
    """Calls a second, the share of its core that the suite took, and how long each call took in seconds."""
    took: list[float] = []
    end = time.monotonic() + seconds
    used, began = process.cpu_seconds(), time.monotonic()
    await asyncio.gather(*(caller.call_until(end, took) for _ in range(callers)))
    passed = time.monotonic() - began
    return len(took) / passed, (process.cpu_seconds() - used) / passed, took


class _Caller:
    """Messages go out and come in as bytes, so that the server is what is slow."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_CHAT)
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._request = chat_pb2.ChatRequest(
            model=MODEL,
            message="How long is now?",
            parameters=chat_pb2.Parameters(max_output_tokens=1, temperature=_MODEL_SECONDS),
        ).SerializeToString()

    async def call_until(self, end: float, took: list[float]) -> None:
        """Call, one call after the other, until `end`. Raises BenchmarkFailed."""
        while (began := time.monotonic()) < end:
            # A message is the sum of its fields, in any order.
            request_id = chat_pb2.ChatRequest(request_id=str(uuid.uuid4())).SerializeToString()
            try:
                await self._call(request_id + self._request, metadata=self._metadata, timeout=30)
            except grpc.aio.AioRpcError as error:
                raise BenchmarkFailed(f"Chat failed: {error.code().name}, {error.details()}") from None
            took.append(time.monotonic() - began)
