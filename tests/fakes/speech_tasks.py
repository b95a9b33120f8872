"""What speakers are given, and what they give."""

import io
import os
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import numpy as np
import psutil

from services.speech.model import Batch, Ending, Format, Piece, Segment, Word
from services.speech.ports import Task

Samples = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
_PROGRAM = "services.speech.providers.worker"


def task_of(
    *texts: str,
    voice: str = "gmw/en-US",
    format_: Format = Format.WAV,
    rate: float = 1.0,
    pitch: float = 0.0,
    pause: float = 0.0,
) -> Task:
    """A task of a segment for each text."""
    segments: list[Segment] = []
    for text in texts:
        segments.append(Segment(text, sum(len(each.text) for each in segments), pause))
    return Task("", voice, "", format_, rate, pitch, segments)


@dataclass
class Recording:
    """All that was heard."""

    data: bytes = b""
    batches: list[Batch] = field(default_factory=list)
    ending: Ending | None = None

    @property
    def pieces(self) -> list[Piece]:
        """Of all batches."""
        return [piece for batch in self.batches for piece in batch.pieces]

    @property
    def words(self) -> list[Word]:
        """Of all batches."""
        return [word for batch in self.batches for word in batch.words]

    @property
    def file(self) -> bytes:
        """The whole with its patches."""
        assert self.ending is not None
        file = bytearray(self.data)
        for patch in self.ending.patches:
            file[patch.position : patch.position + len(patch.data)] = patch.data
        return bytes(file)

    @property
    def samples(self) -> Samples:
        """Of a WAV file."""
        with wave.open(io.BytesIO(self.file)) as file:
            return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)


async def recorded(told: AsyncIterator[Batch | Ending]) -> Recording:
    """Listen to the end."""
    recording = Recording()
    async for each in told:
        assert recording.ending is None
        if isinstance(each, Ending):
            recording.ending = each
        else:
            recording.batches.append(each)
    recording.data = b"".join(batch.data for batch in recording.batches)
    return recording


def worker_pids() -> set[int]:
    """The processes that speak for this one."""
    mine = psutil.Process(os.getpid()).children()
    return {child.pid for child in mine if child.is_running() and _PROGRAM in _command(child)}


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []
