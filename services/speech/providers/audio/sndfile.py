"""libsndfile, where it needs more than soundfile offers: this is the one place that knows of soundfile's private parts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import soundfile

from services.speech.model import Patch

_BLOCK_SAMPLES = 65536
# The number of a command, see https://libsndfile.github.io/libsndfile/command.html.
_SFC_SET_OGG_PAGE_LATENCY_MS = 0x1302


@dataclass(slots=True)
class Caught:
    """A file to libsndfile, to be opened for writing. `chunks` are what was written at its end since they were last taken; `patches` what was
    written in the place of earlier bytes."""

    chunks: list[bytes] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)
    _position: int = 0
    _size: int = 0

    def taken(self) -> list[bytes]:
        """The chunks, which are somebody else's now."""
        chunks, self.chunks = self.chunks, []
        return chunks

    def write(self, data: bytes) -> int:
        """As of a file."""
        if self._position == self._size:
            self.chunks.append(bytes(data))
        else:
            self.patches.append(Patch(self._position, bytes(data)))
        self._position += len(data)
        self._size = max(self._size, self._position)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of a file."""
        self._position = (
            offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        )
        return self._position

    def tell(self) -> int:
        """As of a file."""
        return self._position


def set_page_latency(file: soundfile.SoundFile, milliseconds: float) -> None:
    """How much sound a page of Ogg holds: a second, unless told. Before anything is written."""
    ffi = soundfile._ffi
    soundfile._snd.sf_command(
        file._file, _SFC_SET_OGG_PAGE_LATENCY_MS, ffi.new("double *", milliseconds), ffi.sizeof("double")
    )


def blocks(file: soundfile.SoundFile) -> Iterator[npt.NDArray[np.float32]]:
    """All samples of a file, from -1 to 1, channels side by side; each block is valid until the next. `SoundFile.read` would seek behind each
    one, and that fails for a FLAC file whose writer did not know its length."""
    block = np.empty((_BLOCK_SAMPLES // file.channels, file.channels), np.float32)
    pointer = soundfile._ffi.from_buffer("float[]", block)
    while (count := soundfile._snd.sf_readf_float(file._file, pointer, len(block))) > 0:
        yield block[:count]
