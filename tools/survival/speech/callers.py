"""Callers that have texts spoken, lose their server, come back or do not, delete, and leave."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from antiphon.speech.v1 import speech_pb2, speech_pb2_grpc

from tools.survival.lines import ATTEMPTS, PAUSE_SECONDS, Line
from tools.survival.speech.audio import Audio, Digest
from tools.survival.speech.wishes import Way, Wish

# Two cores may have much else to do.
_RPC_SECONDS = 150.0
_TOTAL_SECONDS = 300.0
_FORMATS = {
    "wav": speech_pb2.AUDIO_FORMAT_WAV,
    "mp3": speech_pb2.AUDIO_FORMAT_MP3,
    "ogg": speech_pb2.AUDIO_FORMAT_OGG_OPUS,
    "flac": speech_pb2.AUDIO_FORMAT_FLAC,
}
_STREAMS: Mapping[Way, Sequence[bool | None]] = {
    Way.UNARY: [False],
    Way.STREAM: [True],
    Way.EITHER: [None],
    Way.BOTH: [False, True],
}


@dataclass
class Hearing:
    """A stream: the id that it began with, how much of the audio came, and what that was if it came to its end."""

    conversion_id: str = ""
    nanoseconds: int = 0
    pieces: int = 0
    size: int = 0
    audio: Audio | None = None


@dataclass
class Caller:
    """One call, and what its caller was told. `conversion` is the one of the answers, `deleted` says that it has removed it; `hearings` are its streams,
    however far they came. `left` says that it called an attempt off, and `lost` that it lost its server and never asked again."""

    wish: Wish
    addresses: Sequence[str]
    chance: random.Random
    request_id: str = ""
    conversion: speech_pb2.Conversion | None = None
    hearings: list[Hearing] = field(default_factory=list)
    deleted: bool = False
    attempts: int = 0
    left: bool = False
    lost: bool = False
    line: Line = field(init=False)

    def __post_init__(self) -> None:
        self.line = Line(speech_pb2_grpc.SpeechServiceStub, self.addresses, self.chance)
        if self.wish.comes_back:
            self.request_id = str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    @property
    def faults(self) -> list[str]:
        """What it should not have been told."""
        return self.line.faults

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Its credential."""
        return (("authorization", f"Bearer {self.wish.token}"),) if self.wish.token else ()

    async def run(self) -> None:
        """Ask at the first address, and go on at any."""
        try:
            async with asyncio.timeout(_TOTAL_SECONDS):
                async with asyncio.TaskGroup() as tasks:
                    for streams in self._ways():
                        tasks.create_task(self._speak(streams))
                if self.conversion is not None and self.wish.comes_back:
                    await self.line.until_told(self._unary)
                    await self.line.until_told(self._stream)
                if self.conversion is not None and self.wish.deletes:
                    await self._delete(self.conversion.conversion_id)
        except TimeoutError:
            self.faults.append(f"hung: no end within {_TOTAL_SECONDS:.0f} s, {self.attempts} attempts")
        finally:
            await self.line.aclose()

    def _ways(self) -> Sequence[bool | None]:
        """Whether each of its calls streams; None: as it falls out."""
        return _STREAMS[self.wish.way]

    async def _speak(self, streams: bool | None) -> None:
        attempts = 0
        while attempts < ATTEMPTS and not self.faults:
            service = self.line.at(self.line.address(attempts))
            leaves = self.wish.leaves_after if not attempts else None
            most = self.wish.leaves_behind if not attempts else None
            attempts += 1
            self.attempts += 1
            try:
                async with asyncio.timeout(leaves):
                    if self.chance.random() < 0.5 if streams is None else streams:
                        await self._stream(service, most)
                    else:
                        await self._unary(service)
                return
            except TimeoutError:
                self.left = True
            except grpc.aio.AioRpcError as error:
                self.line.failed(error)
            if not self.wish.comes_back:
                self.lost = not self.left
                return
            await asyncio.sleep(PAUSE_SECONDS)
        if not self.faults:
            self.faults.append(f"no answer in {ATTEMPTS} attempts")

    async def _unary(self, service: Any) -> None:
        request = speech_pb2.SynthesizeRequest(**self._fields())
        answer = await service.Synthesize(request, metadata=self.metadata, timeout=_RPC_SECONDS)
        self._take(answer.conversion)

    async def _stream(self, service: Any, most: int | None = None) -> None:
        """Hear a stream; raises TimeoutError when it has heard so many pieces."""
        hearing, digest = Hearing(), Digest(self.wish.format)
        self.hearings.append(hearing)
        request = speech_pb2.StreamSynthesizeRequest(**self._fields())
        call = service.StreamSynthesize(request, metadata=self.metadata, timeout=_RPC_SECONDS)
        finished = None
        try:
            async for event in call:
                if event.HasField("started"):
                    hearing.conversion_id = event.started.conversion_id
                elif event.HasField("audio"):
                    digest.add(event.audio.data)
                    hearing.nanoseconds += event.audio.duration.ToNanoseconds()
                    hearing.pieces += 1
                    hearing.size += len(event.audio.data)
                    if hearing.pieces == most:
                        raise TimeoutError
                    if self.wish.pause:
                        await asyncio.sleep(self.wish.pause)
                elif event.HasField("finished"):
                    finished = event.finished
        finally:
            call.cancel()
        if finished is None:
            self.faults.append(f"the stream of {hearing.conversion_id} ended without a status and unfinished")
            return
        hearing.audio = digest.audio
        self._hold_totals(hearing, finished)
        self._take(finished.conversion)

    def _hold_totals(self, hearing: Hearing, finished: speech_pb2.SpeechFinished) -> None:
        assert hearing.audio is not None
        told = (finished.conversion.conversion_id, finished.audio_bytes, finished.chunk_count)
        if told != (hearing.conversion_id, hearing.audio.size, hearing.pieces):
            self.faults.append(f"{hearing} came, and the stream tells of {told}")
        # Each piece may be a nanosecond short.
        if not 0 <= finished.audio_duration.ToNanoseconds() - hearing.nanoseconds <= hearing.pieces:
            self.faults.append(f"the pieces of {hearing.conversion_id} are not as long as the whole")

    def _take(self, conversion: speech_pb2.Conversion) -> None:
        before = self.conversion
        if before is not None and before.conversion_id != conversion.conversion_id:
            self.faults.append(
                f"{self.request_id} made {before.conversion_id}, and then {conversion.conversion_id}"
            )
        told = (conversion.text, conversion.format, conversion.metadata.request_id)
        if told != (self.wish.text, _FORMATS[self.wish.format], self.request_id):
            self.faults.append(f"{conversion.conversion_id} is what somebody else asked for")
        if bool(conversion.user_id) is not bool(self.wish.token):
            self.faults.append(f"{conversion.conversion_id} belongs to somebody else")
        self.conversion = conversion

    async def _delete(self, conversion_id: str) -> None:
        request = speech_pb2.DeleteConversionRequest(conversion_id=conversion_id)
        await self.line.deleted(
            lambda service: service.DeleteConversion(request, metadata=self.metadata, timeout=_RPC_SECONDS)
        )
        self.deleted = not self.faults

    def _fields(self) -> dict[str, Any]:
        return {
            "request_id": self.request_id,
            "text": self.wish.text,
            "model": "espeak-ng",
            "format": _FORMATS[self.wish.format],
        }
