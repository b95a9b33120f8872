"""A studio that decodes nothing: the bytes of all parts, one behind the other, are the file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from services.kernel.errors import ServiceError
from services.speech.model import Batch, Ending, Format, Piece
from services.speech.ports import Stitching

RATE = 24_000
SAMPLES = 480


@dataclass
class PlainStudio:
    """`added` are the parts that came, each with its pause and its characters; `at_work` counts who is stitching now. A part fails with
    `failure` where there is one."""

    added: list[tuple[bytes, float, int]] = field(default_factory=list)
    formats: list[Format] = field(default_factory=list)
    at_work: int = 0
    failure: ServiceError | None = None

    @asynccontextmanager
    async def stitching(self, format_: Format) -> AsyncIterator[Stitching]:
        """As the port says."""
        self.at_work += 1
        self.formats.append(format_)
        try:
            yield _Plain(self)
        finally:
            self.at_work -= 1


@dataclass
class _Plain:
    studio: PlainStudio
    parts: int = 0
    characters: int = 0

    async def add(self, audio: bytes, pause: float, characters: int) -> AsyncIterator[Batch]:
        """As the port says."""
        self.studio.added.append((audio, pause, characters))
        if self.studio.failure is not None:
            raise self.studio.failure
        self.parts += 1
        self.characters += characters
        yield Batch(RATE, audio, (Piece(len(audio), SAMPLES),), characters=self.characters)

    async def end(self) -> AsyncIterator[Batch | Ending]:
        """As the port says."""
        yield Ending(RATE, self.parts * SAMPLES)
