"""A speaker that keeps its promises without a process: two characters are a piece of 100 ms, a tone that its voice alone has."""

import array
import asyncio
import math
import re
import struct
import zlib
from collections.abc import AsyncIterator, Sequence

from services.kernel.errors import ServiceError
from services.speech.errors import EngineStopped
from services.speech.model import Batch, Ending, Format, Gender, Patch, Piece, Segment, Voice, Word
from services.speech.ports import Task

SAMPLE_RATE = 24_000
SAMPLES_PER_CHARACTER = SAMPLE_RATE // 20
_PIECE = 2 * SAMPLES_PER_CHARACTER
_UNKNOWN = 0xFFFFFFFF
_SIGNATURES = {Format.MP3: b"ID3", Format.OGG_OPUS: b"OggS", Format.FLAC: b"fLaC"}
_WORD = re.compile(r"\S+")

VOICES = (
    Voice("de", "German", "de", SAMPLE_RATE, "gmw/de"),
    Voice("en-us", "English (America)", "en-US", SAMPLE_RATE, "gmw/en-US", Gender.MALE),
    Voice("es", "Spanish", "es", SAMPLE_RATE, "roa/es", Gender.FEMALE),
)


def tone(voice: str, samples: int) -> bytes:
    """What this voice says in so many samples, 16 bits each."""
    hertz = 200 + zlib.crc32(voice.encode()) % 400
    step = 2 * math.pi * hertz / SAMPLE_RATE
    return array.array("h", (round(8000 * math.sin(step * place)) for place in range(samples))).tobytes()


def wav_header(data_bytes: int = _UNKNOWN) -> bytes:
    """The first 44 bytes of a WAV file, mono, 16 bits."""
    whole = min(data_bytes + 36, _UNKNOWN)
    layout = struct.pack("<IHHIIHH", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
    return (
        struct.pack("<4sI8s", b"RIFF", whole, b"WAVEfmt ") + layout + struct.pack("<4sI", b"data", data_bytes)
    )


class FakeSpeaker:
    """`speech.ports.Speaker`. WAV is true; other formats are the same samples behind their signature.

    It waits for `pause` before each segment, raises `failure` after `fail_after` batches (0: before the first), and keeps what it was
    asked in `tasks`; `left` counts those who closed it early.
    """

    def __init__(
        self,
        *,
        fail_after: int | None = None,
        failure: ServiceError | None = None,
        pause: asyncio.Event | None = None,
        voices: Sequence[Voice] = VOICES,
        cost_usd: float | None = None,
        words: bool = True,
    ) -> None:
        self.fail_after = fail_after
        self.failure = failure
        self.pause = pause
        self.known = voices
        self.cost_usd = cost_usd
        self.words = words
        self.tasks: list[Task] = []
        self.left = 0

    async def speak(self, task: Task) -> AsyncIterator[Batch | Ending]:
        """See `speech.ports.Speaker`."""
        self.tasks.append(task)
        given, samples, characters = 0, 0, 0
        header = wav_header() if task.format is Format.WAV else _SIGNATURES[task.format]
        try:
            for segment in task.segments:
                if self.pause is not None:
                    await self.pause.wait()
                for batch in self._batches(task.voice, segment, header, samples, characters):
                    if given == self.fail_after:
                        raise self.failure or EngineStopped()
                    yield batch
                    given += 1
                    samples += sum(piece.samples for piece in batch.pieces)
                    header = b""
                characters += len(segment.text)
            if given == self.fail_after:
                raise self.failure or EngineStopped()
            patches = (Patch(0, wav_header(2 * samples)),) if task.format is Format.WAV else ()
            yield Ending(SAMPLE_RATE, samples, patches, self.cost_usd)
        except (GeneratorExit, asyncio.CancelledError):
            self.left += 1
            raise

    async def voices(self) -> Sequence[Voice]:
        """See `speech.ports.Speaker`."""
        return self.known

    def _batches(
        self, voice: str, segment: Segment, header: bytes, since: int, characters: int
    ) -> list[Batch]:
        """The first piece alone, and all others with the words."""
        spoken = len(segment.text) * SAMPLES_PER_CHARACTER
        sound = tone(voice, spoken) + bytes(2 * round(segment.pause * SAMPLE_RATE))
        parts = [sound[place : place + 2 * _PIECE] for place in range(0, len(sound), 2 * _PIECE)]
        if not parts:
            return []
        pieces = [Piece(len(part), len(part) // 2) for part in parts]
        pieces[0] = Piece(len(header) + len(parts[0]), pieces[0].samples)
        words = [
            Word(
                found[0],
                segment.offset + found.start(),
                since + found.start() * SAMPLES_PER_CHARACTER,
                since + found.end() * SAMPLES_PER_CHARACTER,
            )
            for found in _WORD.finditer(segment.text)
            if self.words
        ]
        after = characters + len(segment.text)
        first = Batch(SAMPLE_RATE, header + parts[0], pieces[:1], [], characters if parts[1:] else after)
        if not parts[1:]:
            return [Batch(SAMPLE_RATE, first.data, first.pieces, words, after)]
        return [first, Batch(SAMPLE_RATE, b"".join(parts[1:]), pieces[1:], words, after)]
