"""What bytes say that they are, before a decoder believes it."""

from __future__ import annotations

import struct

from services.infra.workers.errors import JobRefused
from services.speech.providers.audio.mpeg import behind_id3, frames_alone

_CHUNK_HEADER_BYTES = 8
_FIRST_CHUNK = 12
# Writers that can't know the length yet leave it 0, or as large as it may get; nothing that is read here is so long.
_UNKNOWN_FROM = 0x7FFF0000
_PAGE_HEADER_BYTES = 27
_END_OF_STREAM = 0x04


def looked_over(audio: bytes) -> bytes:
    """The same file for a decoder, of a format that is known and with its length put right if its writer could not know it. Raises
    JobRefused: `format` for what is no WAV, MP3, FLAC or Ogg, `truncated` for a file that tells that its end is missing."""
    if not audio:
        raise JobRefused("truncated", "there is no audio: it is empty")
    audio = audio[behind_id3(audio) :]
    if audio[:4] == b"RIFF" and audio[8:12] == b"WAVE":
        return _wav(audio)
    if audio[:4] == b"OggS":
        _follow_pages(audio)
        return audio
    if audio[:4] == b"fLaC":
        return audio
    if audio[:1] == b"\xff":
        return frames_alone(audio)
    raise JobRefused("format", "this is no WAV, MP3, FLAC or Ogg file")


def _wav(audio: bytes) -> bytes:
    position = _FIRST_CHUNK
    while position + _CHUNK_HEADER_BYTES <= len(audio):
        name, size = struct.unpack_from("<4sI", audio, position)
        position += _CHUNK_HEADER_BYTES
        if name == b"data":
            left = len(audio) - position
            if size == 0 or size >= _UNKNOWN_FROM:
                return audio[: position - 4] + struct.pack("<I", left) + audio[position:]
            if size > left:
                raise JobRefused("truncated", "a WAV file ends before its samples do")
            return audio
        position += size + size % 2
    raise JobRefused("truncated", "a WAV file ends before its samples begin")


def _follow_pages(audio: bytes) -> None:
    """Until the one that says that it is the last."""
    position = 0
    while position + _PAGE_HEADER_BYTES <= len(audio) and audio[position : position + 4] == b"OggS":
        flags, segments = audio[position + 5], audio[position + 26]
        body = position + _PAGE_HEADER_BYTES + segments
        position = body + sum(audio[body - segments : body])
        if flags & _END_OF_STREAM and position <= len(audio):
            return
    raise JobRefused("truncated", "an Ogg file ends before its last page")
