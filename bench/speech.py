"""SPEECH: how soon a text is heard, and how fast it is spoken by espeak-ng, in a suite with an object store in a folder.

The suite may use all cores, which it shares with the callers and PostgreSQL: texts are spoken and encoded in processes of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from antiphon.speech.v1 import speech_pb2, speech_pb2_grpc

from bench.figures import Goal, Result, middle, percentile
from bench.machine import Cores
from bench.media import MediaSuite, Metadata, media_suite
from bench.processes import BenchmarkFailed

FIRST = Goal("SPEECH", "first audio of a text of 5,000 characters, MP3", 50, "ms", at_most=True)
SHARE = Goal(
    "SPEECH", "the same: share of 50 ms, or of 2 % of the whole where that is longer", 1.0, at_most=True
)
BESIDE = Goal(
    "SPEECH", "first audio of a sentence beside two texts of 100,000 characters", 200, "ms", at_most=True
)
LONG = Goal("SPEECH", "a text of 100,000 characters, MP3: seconds of audio a second", 100, digits=0)
LAG = Goal("SPEECH", "the same: longest lag of the event loop", 50, "ms", at_most=True)
RATE = Goal("SPEECH", "50 callers at once, a sentence each: conversions a second", 30, digits=0)
P99 = Goal("SPEECH", "the same: duration of a call, p99", 5000, "ms", at_most=True, digits=0)
_PEOPLE = 50
_SENTENCE = "The quick brown fox jumps over the lazy dog, and that is all there is to it. "
_CALL_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Extent:
    """Rounds."""

    rounds: int


SHORT = Extent(rounds=3)
FULL = Extent(rounds=9)


@dataclass(frozen=True, slots=True)
class _Heard:
    """Seconds from the call on: until the first audio, and until it was stored; and of audio."""

    first: float
    whole: float
    audio: float


async def measure(cores: Cores, extent: Extent) -> list[Result]:
    """Rounds behind one that warms up."""
    async with (
        media_suite(cores, "speech", _PEOPLE) as suite,
        grpc.aio.insecure_channel(suite.address) as channel,
    ):
        stub = speech_pb2_grpc.SpeechServiceStub(channel)
        await _round(suite, stub)
        rounds = [await _round(suite, stub) for _ in range(extent.rounds)]
        server, workers = suite.process.peak_mebibytes(), suite.process.worker_peaks()
    whole = middle([one.text.whole for one in rounds]) * 1000
    note = (
        f"all of it was stored after {whole:.0f} ms; at most the server had {server:.0f} MiB, and its {len(workers)} workers"
        f" {max(workers, default=0):.0f} MiB each"
    )
    return [
        Result(FIRST, [one.text.first * 1000 for one in rounds], note),
        Result(SHARE, [one.text.first / max(0.05, one.text.whole * 0.02) for one in rounds]),
        Result(BESIDE, [one.beside.first * 1000 for one in rounds]),
        Result(LONG, [one.long.audio / one.long.whole for one in rounds]),
        Result(LAG, [one.lag * 1000 for one in rounds]),
        Result(RATE, [_PEOPLE / one.together for one in rounds]),
        Result(P99, [percentile(one.calls, 0.99) * 1000 for one in rounds]),
    ]


@dataclass(frozen=True, slots=True)
class _Round:
    text: _Heard
    long: _Heard
    beside: _Heard
    lag: float
    together: float
    calls: Sequence[float]


async def _round(suite: MediaSuite, stub: speech_pb2_grpc.SpeechServiceAsyncStub) -> _Round:
    ana, ben, eve, *_ = suite.people
    text = await _heard(stub, ana, _text(5_000))
    await asyncio.to_thread(suite.lag)
    long = await _heard(stub, ana, _text(100_000))
    lag = await asyncio.to_thread(suite.lag)
    begun = asyncio.Event()
    both = [asyncio.create_task(_heard(stub, one, _text(100_000), begun)) for one in (ana, ben)]
    # One of them is spoken, the other waits for its turn.
    await begun.wait()
    beside = await _heard(stub, eve, _SENTENCE)
    await asyncio.gather(*both)
    began = time.monotonic()
    calls = await asyncio.gather(*(_heard(stub, one, _SENTENCE) for one in suite.people))
    return _Round(text, long, beside, lag, time.monotonic() - began, [call.whole for call in calls])


def _text(characters: int) -> str:
    return (_SENTENCE * (characters // len(_SENTENCE) + 1))[:characters]


async def _heard(
    stub: speech_pb2_grpc.SpeechServiceAsyncStub,
    person: Metadata,
    text: str,
    begun: asyncio.Event | None = None,
) -> _Heard:
    """A stream to its end; `begun` is set with its first audio, or with its end. Raises BenchmarkFailed."""
    request = speech_pb2.StreamSynthesizeRequest(
        text=text, model="espeak-ng", format=speech_pb2.AUDIO_FORMAT_MP3
    )
    began = time.monotonic()
    first = audio = 0.0
    try:
        async for event in stub.StreamSynthesize(request, metadata=person, timeout=_CALL_SECONDS):
            if event.HasField("audio") and not first:
                first = time.monotonic() - began
                if begun is not None:
                    begun.set()
            if event.HasField("finished"):
                audio = event.finished.audio_duration.ToNanoseconds() / 1e9
    except grpc.aio.AioRpcError as error:
        if begun is not None:
            begun.set()
        raise BenchmarkFailed(f"StreamSynthesize failed: {error.code().name}, {error.details()}") from None
    return _Heard(first, time.monotonic() - began, audio)
