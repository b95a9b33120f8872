"""P9: going on with an answer: one that has ended, and one that another replica makes."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import psycopg
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc

from bench.figures import Goal, Result, middle, percentile
from bench.machine import Cores
from bench.processes import BenchmarkFailed, Process
from bench.stage import MODEL, Stage, replica

FINISHED = Goal("P9", "resume of an ended answer of 1,000 events, p50", 5, "ms", at_most=True)
LAG = Goal("P9", "16 answers made elsewhere: later than at their owner, p50", 50, "ms", at_most=True)
LAG_P99 = Goal("P9", "the same, p99", 50, "ms", at_most=True)
_EVENTS = 1000
_QUICK_SECONDS = 0.002
_INTERVAL_SECONDS = 0.05
_CALL_SECONDS = 120.0

_Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Extent:
    """Rounds; each resumes the ended answer so many times, and watches answers of so many tokens on two replicas."""

    rounds: int
    resumes: int
    tokens: int
    streams: int = 16


SHORT = Extent(rounds=2, resumes=50, tokens=120)
FULL = Extent(rounds=5, resumes=200, tokens=300)


@dataclass(slots=True)
class _Lags:
    """By the token, in seconds: how much later it came from the other replica, and how long both were under way from the model."""

    later: list[float] = field(default_factory=list)
    owner: list[float] = field(default_factory=list)
    other: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Replicas:
    """The one that makes the answers, and another one."""

    owner: chat_pb2_grpc.ChatServiceAsyncStub
    other: chat_pb2_grpc.ChatServiceAsyncStub
    metadata: _Metadata
    owner_process: Process
    other_process: Process

    async def begin(self, tokens: int, interval: float) -> tuple[str, grpc.aio.UnaryStreamCall]:  # type: ignore[type-arg]
        """An answer that the owner makes: its id, and the rest of its stream."""
        request = chat_pb2.StreamChatRequest(
            request_id=str(uuid.uuid4()),
            model=MODEL,
            message="How long is now?",
            parameters=chat_pb2.Parameters(max_output_tokens=tokens, temperature=interval),
        )
        call = self.owner.StreamChat(request, metadata=self.metadata, timeout=_CALL_SECONDS)
        async for response in call:
            return response.event.started.generation_id, call
        raise BenchmarkFailed("an answer did not begin")

    def resume(self, stub: chat_pb2_grpc.ChatServiceAsyncStub, generation_id: str) -> AsyncIterable[object]:
        """All of its events."""
        request = chat_pb2.ResumeStreamRequest(generation_id=generation_id)
        return stub.ResumeStream(request, metadata=self.metadata, timeout=_CALL_SECONDS)


async def measure(stage: Stage, cores: Cores, extent: Extent) -> list[Result]:
    """Resume what has ended, then watch what is made on another replica."""
    async with _replicas(stage, cores) as replicas:
        ended, rows = await _ended_answer(replicas, stage.environment["DATABASE_URL"])
        resumed, lag, lag_p99, cost, notes = [], [], [], [], []
        for _ in range(extent.rounds):
            resumed.append(await _resumed(replicas, ended, extent.resumes))
            alone = await _owner_seconds(replicas, extent, None)
            lags = _Lags()
            watched = await _owner_seconds(replicas, extent, lags)
            lag.append(percentile(lags.later, 0.5) * 1000)
            lag_p99.append(percentile(lags.later, 0.99) * 1000)
            cost.append((watched[0] - alone[0]) / (extent.streams * extent.tokens) * 1000)
            notes.append((alone[0], *watched, percentile(lags.owner, 0.5), percentile(lags.other, 0.5)))
    alone_s, owner_s, other_s, at_owner, at_other = (middle(column) for column in zip(*notes, strict=True))
    seconds = extent.tokens * _INTERVAL_SECONDS
    note = (
        f"the ended answer has {_EVENTS} deltas in {rows} rows; {extent.streams} answers of 20 tokens a second, cores taken by the owner "
        f"{alone_s / seconds:.2f} alone and {owner_s / seconds:.2f} watched, by the watching replica {other_s / seconds:.2f}, "
        f"which is {middle(cost):.3f} ms of the owner's processor time for a token that is watched elsewhere; a token was "
        f"under way for {at_owner * 1000:.1f} ms to the owner's watcher, {at_other * 1000:.1f} ms to the other's (p50)"
    )
    return [Result(FINISHED, resumed, note), Result(LAG, lag), Result(LAG_P99, lag_p99)]


@asynccontextmanager
async def _replicas(stage: Stage, cores: Cores) -> AsyncIterator[_Replicas]:
    async with (
        replica(stage, cores) as other,
        grpc.aio.insecure_channel(stage.suite.address) as one,
        grpc.aio.insecure_channel(other.address) as two,
    ):
        yield _Replicas(
            chat_pb2_grpc.ChatServiceStub(one),
            chat_pb2_grpc.ChatServiceStub(two),
            (("authorization", f"Bearer {stage.token}"),),
            stage.suite.process,
            other.process,
        )


async def _ended_answer(replicas: _Replicas, url: str) -> tuple[str, int]:
    """The id of an answer that has ended, and in how many rows it is stored."""
    generation_id, call = await replicas.begin(_EVENTS, _QUICK_SECONDS)
    async for _ in call:
        pass
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute(
            "select count(*) from chat.generation_events where generation_id = %s", (generation_id,)
        )
        row = await cursor.fetchone()
    return generation_id, row[0] if row else 0


async def _resumed(replicas: _Replicas, generation_id: str, times: int) -> float:
    """Milliseconds from the call to the end, p50."""
    took = []
    for _ in range(times):
        began, text = time.perf_counter(), 0
        async for response in replicas.resume(replicas.owner, generation_id):
            text += response.event.text_delta.text.count(" ")  # type: ignore[attr-defined]
        took.append(time.perf_counter() - began)
        if text != _EVENTS:
            raise BenchmarkFailed(f"of {_EVENTS} tokens {text} came back")
    return percentile(took, 0.5) * 1000


async def _owner_seconds(replicas: _Replicas, extent: Extent, lags: _Lags | None) -> tuple[float, float]:
    """Processor time that the replicas took for answers that are watched on the owner, and with `lags` on the other, too."""
    processes = (replicas.owner_process, replicas.other_process)
    before = [process.cpu_seconds() for process in processes]
    async with asyncio.TaskGroup() as group:
        for number in range(extent.streams):
            group.create_task(_answer(replicas, extent.tokens, number / extent.streams, lags))
    owner, other = (process.cpu_seconds() - was for process, was in zip(processes, before, strict=True))
    return owner, other


async def _answer(replicas: _Replicas, tokens: int, offset: float, lags: _Lags | None) -> None:
    # Answers that begin together would grow together, which those of people do not.
    await asyncio.sleep(offset)
    generation_id, call = await replicas.begin(tokens, _INTERVAL_SECONDS)
    if lags is None:
        await _read(call, tokens)
        return
    mine, others = await asyncio.gather(
        _read(call, tokens), _read(replicas.resume(replicas.other, generation_id), tokens)
    )
    for stamp, came in mine.items():
        lags.later.append(others[stamp] - came)
        lags.owner.append(came - int(stamp, 16) / 1e6)
        lags.other.append(others[stamp] - int(stamp, 16) / 1e6)


async def _read(call: AsyncIterable[object], tokens: int) -> dict[str, float]:
    """When each token came. Two that were sent in one microsecond count as one."""
    came: dict[str, float] = {}
    count = 0
    async for response in call:
        now = time.monotonic()
        for stamp in response.event.text_delta.text.split():  # type: ignore[attr-defined]
            came[stamp] = now
            count += 1
    if count != tokens:
        raise BenchmarkFailed(f"{tokens} tokens were sent, and {count} came")
    return came
