"""What happens in a stream, as the contract has it."""

from __future__ import annotations

from collections.abc import Callable

from antiphon.speech.v1 import speech_pb2
from google.protobuf.duration_pb2 import Duration

from services.speech.generation.recording import Chunk, Said
from services.speech.mapping.resources import FORMATS, conversion_to_proto
from services.speech.model import Conversion
from services.speech.usecases.stream import Event, Finished, Started

_NANOS = 1_000_000_000


def event_to_proto(
    event: Event, owner_token: Callable[[Conversion], str]
) -> speech_pb2.StreamSynthesizeResponse:
    """One event; `owner_token` gives the token that an anonymous caller is handed with its conversion."""
    if isinstance(event, Chunk):
        return speech_pb2.StreamSynthesizeResponse(
            audio=speech_pb2.AudioChunk(
                data=event.data,
                offset=_span(event.start, event.sample_rate),
                duration=_span(event.samples, event.sample_rate),
            )
        )
    if isinstance(event, Said):
        word = event.word
        return speech_pb2.StreamSynthesizeResponse(
            word=speech_pb2.WordTiming(
                text=word.text,
                start=_span(word.start, event.sample_rate),
                end=_span(word.end, event.sample_rate),
                text_offset=word.offset,
            )
        )
    if isinstance(event, Started):
        return speech_pb2.StreamSynthesizeResponse(started=_started(event))
    return speech_pb2.StreamSynthesizeResponse(finished=_finished(event, owner_token))


def _started(event: Started) -> speech_pb2.SpeechStarted:
    made = speech_pb2.SpeechStarted(
        conversion_id=event.conversion_id,
        model=event.model,
        provider=event.provider,
        voice=event.voice,
        language=event.language,
        format=FORMATS[event.format],
        content_type=event.format.content_type,
        gives_word_timings=event.gives_words,
    )
    made.create_time.FromDatetime(event.create_time)
    return made


def _finished(event: Finished, owner_token: Callable[[Conversion], str]) -> speech_pb2.SpeechFinished:
    conversion = event.conversion
    return speech_pb2.SpeechFinished(
        conversion=conversion_to_proto(conversion, owner_token(conversion)),
        audio_duration=_span(event.samples, conversion.sample_rate),
        audio_bytes=event.audio_bytes,
        chunk_count=event.chunks,
        word_count=event.words,
    )


def _span(samples: int, sample_rate: int) -> Duration:
    """So many samples, as a time: exact to the nanosecond."""
    seconds, rest = divmod(samples, sample_rate)
    return Duration(seconds=seconds, nanos=rest * _NANOS // sample_rate)
