"""The frames of an MP3 file, told from all that may stand between them (ISO/IEC 11172-3, 13818-3; ID3v2.4.0)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from services.infra.workers.errors import JobRefused

_BITRATES = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_LOW_BITRATES = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_MPEG_1 = 3
_LAYER_III = 1
_MONO = 3
_ID3_BYTES = 10
_MOST_BETWEEN = 64 * 1024
# Where such a frame tells its purpose, behind the header and the side information, none of which is longer.
_TOLD_WITHIN = 48
_TELLING = (b"Xing", b"Info", b"VBRI")
_COUNT_FOLLOWS = 1
_INFO_BITRATE = 5


@dataclass(frozen=True, slots=True)
class _Header:
    version: int
    rate: int
    mode: int
    size: int

    @property
    def samples(self) -> int:
        return 1152 if self.version == _MPEG_1 else 576

    @property
    def side_bytes(self) -> int:
        mono = self.mode == _MONO
        return (17 if mono else 32) if self.version == _MPEG_1 else (9 if mono else 17)

    def belongs_to(self, first: _Header | None) -> bool:
        return first is None or (self.version, self.rate) == (first.version, first.rate)


def behind_id3(audio: bytes, position: int = 0) -> int:
    """Where the ID3v2 tag ends that begins here; the same place when there is none."""
    if audio[position : position + 3] != b"ID3" or len(audio) < position + _ID3_BYTES:
        return position
    size = 0
    for byte in audio[position + 6 : position + _ID3_BYTES]:
        size = size << 7 | byte & 0x7F
    has_footer = audio[position + 5] & 0x10
    return position + _ID3_BYTES + size + (_ID3_BYTES if has_footer else 0)


def frames_alone(audio: bytes) -> bytes:
    """The frames with sound, behind a frame that tells their number.

    Decoders believe what the first frame tells, or guess from its bit rate, and stop there: what a server wrote before it knew, or put
    together of several files, would end early without a word. Raises JobRefused: `truncated` for a file that ends within a frame, `format`
    where more stands between frames than is in them.
    """
    sound = bytearray()
    first, count, between, position = None, 0, 0, 0
    while position + 4 <= len(audio):
        header = _header(audio, position)
        if header is not None and header.belongs_to(first):
            if position + header.size > len(audio):
                raise JobRefused("truncated", "an MP3 file ends within a frame")
            first = first or header
            if not any(word in audio[position : position + _TOLD_WITHIN] for word in _TELLING):
                sound += memoryview(audio)[position : position + header.size]
                count += 1
            position += header.size
        elif (behind := behind_id3(audio, position)) > position:
            position = behind
        else:
            behind = audio.find(b"\xff", position + 1)
            behind = len(audio) if behind < 0 else behind
            between += behind - position
            position = behind
            if between > _MOST_BETWEEN:
                break
    if first is None or between > max(len(sound), _ID3_BYTES):
        raise JobRefused("format", "this is no MP3 file, though it begins like one")
    return _info(first, count) + sound


def _header(audio: bytes, position: int) -> _Header | None:
    """That of the frame which begins here, if one does; without CRC, padding and such it is 11 bits of ones and what is looked up."""
    (bits,) = struct.unpack_from(">I", audio, position)
    version, bitrate, rate, padding = bits >> 19 & 3, bits >> 12 & 15, bits >> 10 & 3, bits >> 9 & 1
    if bits >> 21 != 0x7FF or version not in _RATES or bits >> 17 & 3 != _LAYER_III:
        return None
    if bitrate in (0, 15) or rate == 3:
        return None
    hertz = _RATES[version][rate]
    kilobits, samples = (_BITRATES, 1152) if version == _MPEG_1 else (_LOW_BITRATES, 576)
    size = samples * kilobits[bitrate] * 1000 // 8 // hertz + padding
    return _Header(version, hertz, bits >> 6 & 3, size)


def _info(like: _Header, count: int) -> bytes:
    """A frame without sound, which tells how many follow. It is known as Xing's or LAME's."""
    rate = _RATES[like.version].index(like.rate)
    bits = 0x7FF << 21 | like.version << 19 | _LAYER_III << 17 | 1 << 16
    bits |= _INFO_BITRATE << 12 | rate << 10 | like.mode << 6
    header = struct.pack(">I", bits)
    told = struct.pack(">4sII", b"Info", _COUNT_FOLLOWS, count)
    size = _header(header, 0)
    assert size is not None
    return (header + bytes(like.side_bytes) + told).ljust(size.size, b"\0")
