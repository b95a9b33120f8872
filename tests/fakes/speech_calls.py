"""Callers of Speech, and what they look at."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from antiphon.speech.v1 import speech_pb2
from antiphon.usage.v1 import usage_pb2

from services.speech.providers.audio.sndfile import blocks
from tests.fakes.served_suite import Person, Served

SENTENCES = "Hello there, dear friends. This is the second sentence. And here is the third one."


@dataclass(frozen=True)
class Heard:
    """A stream to its end."""

    events: Sequence[speech_pb2.StreamSynthesizeResponse]

    @property
    def started(self) -> speech_pb2.SpeechStarted:
        return self.events[0].started

    @property
    def chunks(self) -> list[speech_pb2.AudioChunk]:
        return [event.audio for event in self.events if event.HasField("audio")]

    @property
    def words(self) -> list[speech_pb2.WordTiming]:
        return [event.word for event in self.events if event.HasField("word")]

    @property
    def finished(self) -> speech_pb2.SpeechFinished:
        return self.events[-1].finished

    @property
    def data(self) -> bytes:
        return b"".join(chunk.data for chunk in self.chunks)


def credential(person: Person | None) -> Any:
    return person.metadata if person else None


async def spoken(
    suite: Served, person: Person | None, text: str = "Hello.", **more: Any
) -> speech_pb2.Conversion:
    """A conversion."""
    fields = {"text": text, "format": speech_pb2.AUDIO_FORMAT_WAV, **more}
    answer = await suite.speech.Synthesize(
        speech_pb2.SynthesizeRequest(**fields), metadata=credential(person)
    )
    return answer.conversion


def stream(suite: Served, person: Person | None, text: str = SENTENCES, **more: Any) -> Any:
    """A stream that has just begun."""
    fields = {"text": text, "format": speech_pb2.AUDIO_FORMAT_WAV, **more}
    return suite.speech.StreamSynthesize(
        speech_pb2.StreamSynthesizeRequest(**fields), metadata=credential(person)
    )


async def heard(suite: Served, person: Person | None, text: str = SENTENCES, **more: Any) -> Heard:
    """A stream to its end."""
    return Heard([event async for event in stream(suite, person, text, **more)])


async def downloaded(
    suite: Served, person: Person | None, conversion_id: str, **more: Any
) -> tuple[bytes, list[speech_pb2.DownloadAudioResponse]]:
    """The bytes of a conversion, and the messages that they came in."""
    request = speech_pb2.DownloadAudioRequest(conversion_id=conversion_id, **more)
    messages = [message async for message in suite.speech.DownloadAudio(request, metadata=credential(person))]
    return b"".join(message.chunk for message in messages), messages


def signal(data: bytes) -> tuple[Any, int]:
    """The samples of a file, -1 to 1, and their rate."""
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        # A stream does not say how long it is.
        return np.concatenate([block[:, 0].copy() for block in blocks(file)]), file.samplerate


async def metered(suite: Served, person: Person) -> list[usage_pb2.UsageEvent]:
    """What the meter was told of somebody's calls, oldest first."""
    rows = await suite.rows("select payload from speech.outbox order by event_id")
    events = [usage_pb2.UsageEvent.FromString(payload) for (payload,) in rows]
    return [event for event in events if event.user_id == person.user_id]


def quantities(event: usage_pb2.UsageEvent) -> dict[str, int]:
    """What was used, by the names of units."""
    return {usage_pb2.Unit.Name(one.unit).removeprefix("UNIT_"): one.amount for one in event.quantities}


def objects(suite: Served) -> set[str]:
    """The keys of the objects in the suite's folder. Folders may go while they are looked through."""
    root = suite.suite.settings.data_dir / "blobs"
    found = (Path(folder, name) for folder, _, names in os.walk(root / "requests") for name in names)
    return {str(path.relative_to(root)) for path in found}
