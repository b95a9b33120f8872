# ruff: noqa: N802 - RPC methods carry the contract's names.
"""A scripted server that also plays Speech: it speaks at once, whatever is asked for, and keeps it."""

from __future__ import annotations

import hashlib
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from antiphon.speech.v1 import speech_pb2, speech_pb2_grpc

from tests.scripted_accounts import ScriptedAccounts, page
from tests.scripted_server import failing

OWNER_TOKEN = "st_secret"
Event = speech_pb2.StreamSynthesizeResponse
Step = Event | Callable[[grpc.ServicerContext], object]
"""An event to send, or what to do at that point."""
Piece = speech_pb2.DownloadAudioResponse | Callable[[grpc.ServicerContext], object]
PIECE_MS = 100
_WITHOUT_A_LENGTH = (speech_pb2.AUDIO_FORMAT_WAV, speech_pb2.AUDIO_FORMAT_FLAC)


def audio_of(text: str, audio_format: speech_pb2.AudioFormat, *, streamed: bool = False) -> bytes:
    """What stands for audio: a piece of 16 bytes for each word. Stored WAV and FLAC begin otherwise than streamed ones."""
    name = speech_pb2.AudioFormat.Name(audio_format or speech_pb2.AUDIO_FORMAT_MP3)
    head = "no length" if streamed and audio_format in _WITHOUT_A_LENGTH else "stored"
    words = [head, name.removeprefix("AUDIO_FORMAT_"), *text.split()]
    return b"".join(word.encode()[:15].ljust(16, b".") for word in words)


def pieces(data: bytes, length: int = 16) -> list[speech_pb2.DownloadAudioResponse]:
    """A whole download, in messages with chunks of this length."""
    told = [
        speech_pb2.DownloadAudioResponse(chunk=data[at : at + length]) for at in range(0, len(data), length)
    ]
    told[0].content_type, told[0].total_bytes = "audio/mpeg", len(data)
    return [*told, speech_pb2.DownloadAudioResponse(sha256=hashlib.sha256(data).hexdigest())]


def spoken(conversion: speech_pb2.Conversion) -> list[Event]:
    """The events of a conversion: 100 ms and a word for each 16 bytes."""
    data = audio_of(conversion.text, conversion.format, streamed=True)
    parts = [data[at : at + 16] for at in range(0, len(data), 16)]
    told = [
        Event(
            started=speech_pb2.SpeechStarted(
                conversion_id=conversion.conversion_id,
                model=conversion.model,
                voice=conversion.voice,
                format=conversion.format,
            )
        )
    ]
    for number, part in enumerate(parts):
        audio = speech_pb2.AudioChunk(data=part)
        audio.offset.FromMilliseconds(number * PIECE_MS)
        audio.duration.FromMilliseconds(PIECE_MS)
        word = speech_pb2.WordTiming(text=str(number), text_offset=number)
        told += [Event(audio=audio), Event(word=word)]
    finished = speech_pb2.SpeechFinished(
        conversion=conversion, audio_bytes=len(data), chunk_count=len(parts), word_count=len(parts)
    )
    return [*told, Event(finished=finished)]


@dataclass
class ScriptedSpeech(ScriptedAccounts):
    """Keeps `conversions`, newest first. `speeches` is what the next streams send, `downloads` what the next downloads do; without one it is the
    conversion. `between` happens before each event. Callers without a credential are given an owner token, and are asked for it."""

    conversions: list[speech_pb2.Conversion] = field(default_factory=list)
    speeches: deque[Sequence[Step]] = field(default_factory=deque)
    downloads: deque[Sequence[Piece]] = field(default_factory=deque)
    voices: list[speech_pb2.Voice] = field(default_factory=list)
    speech_models: speech_pb2.ListModelsResponse = field(default_factory=speech_pb2.ListModelsResponse)
    between: Callable[[Event, grpc.ServicerContext], object] | None = None

    def add_services(self, server: grpc.Server) -> None:
        """Everything."""
        super().add_services(server)
        speech_pb2_grpc.add_SpeechServiceServicer_to_server(_Speech(self), server)

    def add_conversion(
        self,
        text: str,
        *,
        audio_format: speech_pb2.AudioFormat = speech_pb2.AUDIO_FORMAT_MP3,
        language: str = "",
        voice: str = "",
        model: str = "",
    ) -> speech_pb2.Conversion:
        """A new conversion."""
        data = audio_of(text, audio_format)
        conversion = speech_pb2.Conversion(
            conversion_id=str(uuid.uuid4()),
            text=text,
            language=language or "en",
            voice=voice or "Anna",
            model=model or "espeak",
            format=audio_format or speech_pb2.AUDIO_FORMAT_MP3,
            duration_seconds=len(data) / 160,
            file_size_bytes=len(data),
            character_count=len(text),
            sha256=hashlib.sha256(data).hexdigest(),
            speaking_rate=1.0,
            sample_rate_hertz=22050,
        )
        conversion.metadata.latency_ms = 40
        conversion.audio_url = f"antiphon://speech/conversions/{conversion.conversion_id}/audio"
        conversion.create_time.FromSeconds(1_800_000_000 + len(self.conversions))
        self.conversions.insert(0, conversion)
        return conversion


class _Speech(speech_pb2_grpc.SpeechServiceServicer):
    def __init__(self, script: ScriptedSpeech) -> None:
        self._script = script

    def _made(self, request: Any, context: Any) -> speech_pb2.Conversion:
        made = speech_pb2.Conversion()
        made.CopyFrom(
            self._script.add_conversion(
                request.text or request.ssml,
                audio_format=request.format,
                language=request.language,
                voice=request.voice,
                model=request.model,
            )
        )
        if "authorization" not in dict(context.invocation_metadata()):
            made.owner_token = OWNER_TOKEN
        return made

    def _found(self, request: Any, context: grpc.ServicerContext) -> speech_pb2.Conversion:
        token = getattr(request, "owner_token", "")
        credential = "authorization" in dict(context.invocation_metadata())
        for each in self._script.conversions:
            if each.conversion_id == request.conversion_id and (credential or token == OWNER_TOKEN):
                return each
        resource = ("speech.conversion", request.conversion_id)
        failing(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", resource=resource)(context)
        raise AssertionError("the call has been aborted")

    def Synthesize(self, request: Any, context: Any) -> Any:
        self._script.arrived("Synthesize", request, context)
        return speech_pb2.SynthesizeResponse(conversion=self._made(request, context))

    def StreamSynthesize(self, request: Any, context: Any) -> Iterator[Any]:
        self._script.arrived("StreamSynthesize", request, context)
        with self._script.lock:
            steps = self._script.speeches.popleft() if self._script.speeches else None
        for step in spoken(self._made(request, context)) if steps is None else steps:
            if not isinstance(step, Event):
                step(context)
                continue
            if self._script.between is not None:
                self._script.between(step, context)
            yield step

    def GetConversion(self, request: Any, context: Any) -> Any:
        self._script.arrived("GetConversion", request, context)
        return speech_pb2.GetConversionResponse(conversion=self._found(request, context))

    def DownloadAudio(self, request: Any, context: Any) -> Iterator[Any]:
        self._script.arrived("DownloadAudio", request, context)
        with self._script.lock:
            sent = self._script.downloads.popleft() if self._script.downloads else None
        if sent is None:
            conversion = self._found(request, context)
            sent = pieces(audio_of(conversion.text, conversion.format))
        for each in sent:
            if isinstance(each, speech_pb2.DownloadAudioResponse):
                yield each
            else:
                each(context)

    def ListConversions(self, request: Any, context: Any) -> Any:
        self._script.arrived("ListConversions", request, context)
        items, following = page(self._script.conversions, request)
        return speech_pb2.ListConversionsResponse(conversions=items, next_page_token=following)

    def DeleteConversion(self, request: Any, context: Any) -> Any:
        self._script.arrived("DeleteConversion", request, context)
        self._script.conversions.remove(self._found(request, context))
        self._script.lose("DeleteConversion", context)
        return speech_pb2.DeleteConversionResponse()

    def ListVoices(self, request: Any, context: Any) -> Any:
        self._script.arrived("ListVoices", request, context)
        return speech_pb2.ListVoicesResponse(voices=self._script.voices)

    def ListModels(self, request: Any, context: Any) -> Any:
        self._script.arrived("ListModels", request, context)
        return self._script.speech_models
