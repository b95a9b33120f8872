"""Sounds to be made into files, and files made of them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile

from services.speech.model import Format
from services.speech.providers.audio.encoders import Encoder, encoder

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class File:
    """A file as its pieces made it, with its patches; `pieces` are their samples."""

    data: bytes
    pieces: list[int]
    encoder: Encoder

    @property
    def samples(self) -> int:
        return sum(self.pieces)

    @property
    def seconds(self) -> float:
        return self.samples / self.encoder.sample_rate


def sound(samples: int, rate: int) -> Samples:
    """A voice of sorts: a tone that glides between 100 and 500 Hz and swells, so that no stretch of it is like another."""
    time = np.arange(samples) / rate
    loud = 0.6 + 0.4 * np.sin(5.1 * time)
    made: Samples = np.rint(8000 * loud * np.sin(2 * np.pi * (300 * time - 40 * np.cos(5 * time)))).astype(
        np.int16
    )
    return made


def file_of(format_: Format, rate: int, parts: Iterable[Samples]) -> File:
    """A file of samples that come in parts."""
    one = encoder(format_, rate)
    pieces = [piece for part in parts for piece in one.encode(part.tobytes())]
    last, patches = one.finish()
    pieces += last
    data = bytearray(b"".join(data for data, _ in pieces))
    for patch in patches:
        data[patch.position : patch.position + len(patch.data)] = patch.data
    return File(bytes(data), [samples for _, samples in pieces], one)


def foreign(samples: Samples, rate: int, format_: str, subtype: str) -> bytes:
    """A file that another program wrote."""
    file = io.BytesIO()
    # What is not kept in whole numbers is not written well from them.
    values = samples if subtype not in ("FLOAT", "DOUBLE", "MPEG_LAYER_III") else samples / 32768
    soundfile.write(file, values, rate, subtype, format=format_)
    return file.getvalue()


def likeness(one: npt.NDArray[np.int16], other: npt.NDArray[np.int16]) -> float:
    """How far two stretches of sound are the same: 1 when they are, but for how loud they are; near 0 when they have nothing in common."""
    length = min(len(one), len(other))
    first, second = one[:length].astype(float), other[:length].astype(float)
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
