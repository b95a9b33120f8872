"""Audio from providers: whatever they send ends as samples or as a reason, in bounded time and memory."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.infra.workers.errors import JobRefused
from services.speech.model import Format
from services.speech.providers.audio import decoding
from services.speech.providers.audio.decoding import decoded
from tests.fakes.speech_audio import Samples, file_of, foreign, likeness, sound

RATE = 24000
SOUND = sound(RATE, RATE)
STEREO = np.column_stack([SOUND, SOUND // 2])
WAV = foreign(SOUND, RATE, "WAV", "PCM_16")
FLAC = foreign(SOUND, RATE, "FLAC", "PCM_16")
VORBIS = foreign(SOUND, RATE, "OGG", "VORBIS")
OPUS = foreign(SOUND, RATE, "OGG", "OPUS")
MP3 = file_of(Format.MP3, RATE, [SOUND]).data
TAG = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)
MOST = 2**32 - 1


def sized(riff: int, data: int) -> bytes:
    """The WAV with other lengths in its header."""
    return WAV[:4] + struct.pack("<I", riff) + WAV[8:40] + struct.pack("<I", data) + WAV[44:]


def of_unknown_length(flac: bytes) -> bytes:
    """As it is written into a pipe: the 36 bits of STREAMINFO for the number of samples, and its checksum, are zero."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4 + 16) + flac[42:]


def samples_of(audio: bytes, rate: int | None = None) -> Samples:
    return np.frombuffer(decoded(audio, rate)[0], np.int16)


def refusal(audio: bytes) -> str:
    with pytest.raises(JobRefused) as refused:
        decoded(audio, None)
    return refused.value.reason


def reason_or_samples(audio: bytes) -> str | bytes:
    try:
        return decoded(audio, RATE)[0]
    except JobRefused as refused:
        return refused.reason


@pytest.mark.parametrize(
    "audio",
    [WAV, FLAC, sized(MOST, MOST), sized(0, 0), of_unknown_length(FLAC), TAG + FLAC],
    ids=["wav", "flac", "wav of most", "wav of none", "flac of none", "tagged flac"],
)
def test_what_loses_nothing_is_decoded_to_the_sample(audio: bytes) -> None:
    assert np.array_equal(samples_of(audio), SOUND)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
def test_samples_of_any_width_are_taken(subtype: str) -> None:
    assert likeness(samples_of(foreign(SOUND, RATE, "WAV", subtype)), SOUND) > 0.99


@pytest.mark.parametrize("audio", [VORBIS, OPUS], ids=["vorbis", "opus"])
def test_ogg_is_decoded_to_its_length(audio: bytes) -> None:
    assert len(samples_of(audio)) == len(SOUND)
    assert likeness(samples_of(audio), SOUND) > 0.98


@pytest.mark.parametrize("audio", [MP3, TAG + MP3, MP3[:-128]], ids=["ours", "tagged", "bare"])
def test_mp3_is_decoded_with_what_its_codec_adds(audio: bytes) -> None:
    heard = samples_of(audio)

    assert len(SOUND) <= len(heard) <= len(SOUND) + 3 * 1152
    # LAME's delay is left, that of the decoder is not.
    assert likeness(heard[576:], SOUND) > 0.98


def test_of_mp3_files_one_behind_the_other_all_are_heard() -> None:
    """Servers put them together as they are, and the first one tells its own length alone."""
    one = foreign(SOUND, RATE, "MP3", "MPEG_LAYER_III")

    assert len(samples_of(one * 3)) >= 3 * len(SOUND)


@pytest.mark.parametrize(
    ("format_", "subtype"),
    [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")],
)
def test_channels_are_mixed(format_: str, subtype: str) -> None:
    heard = samples_of(foreign(STEREO, RATE, format_, subtype))

    assert np.abs(heard).max() == pytest.approx(0.75 * np.abs(SOUND).max(), rel=0.1)


@pytest.mark.parametrize(
    ("source", "wanted", "rate"),
    [(RATE, None, RATE), (RATE, 22050, 22050), (8000, None, 8000), (96000, None, 24000), (4000, None, 24000)],
)
def test_the_rate_is_the_one_asked_for_or_one_that_can_be_kept(
    source: int, wanted: int | None, rate: int
) -> None:
    pcm, told = decoded(foreign(sound(source, source), source, "WAV", "PCM_16"), wanted)

    assert told == rate
    assert len(pcm) // 2 == pytest.approx(rate, abs=2)


@pytest.mark.parametrize(
    "audio",
    [
        b"",
        WAV[:30],
        WAV[:44],
        WAV[: len(WAV) // 2],
        sized(36, 0)[:44],
        FLAC[: len(FLAC) // 2],
        of_unknown_length(FLAC)[: len(FLAC) // 2],
        FLAC[:21] + bytes([FLAC[21] | 0x0F]) + b"\xff" * 4 + FLAC[26:],
        VORBIS[: len(VORBIS) // 2],
        OPUS[:-1],
        MP3[: len(MP3) // 2],
    ],
)
def test_what_ends_before_its_end_is_truncated(audio: bytes) -> None:
    assert refusal(audio) == "truncated"


@pytest.mark.parametrize(
    "audio",
    [
        b"Internal Server Error",
        b'{"error": {"message": "quota"}}',
        b"<!DOCTYPE html>" + b"<p>" * 1000,
        b"RIFF\x24\x00\x00\x00AVI " + bytes(100),
        b"fLaC" + bytes(1000),
        b"\xff\xfb" + b"a" * 5000,
        b"\xff" * 1_000_000,
        WAV[:22] + struct.pack("<H", 1000) + WAV[24:],
        WAV[:24] + struct.pack("<I", 4_000_000_000) + WAV[28:],
        WAV[:24] + struct.pack("<I", 0) + WAV[28:],
        foreign(SOUND, RATE, "AIFF", "PCM_16"),
    ],
)
def test_what_is_no_audio_of_a_known_format_is_refused_as_such(audio: bytes) -> None:
    assert refusal(audio) == "format"


@pytest.mark.parametrize(("channels", "seconds"), [(1, 61), (8, 20)])
def test_silence_that_packs_well_does_not_become_hours(
    channels: int, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few hundred kilobytes of FLAC hold more than an hour, or so many channels that decoding them takes as long. Here it is a minute."""
    monkeypatch.setattr(decoding, "_LONGEST_SECONDS", 60)
    monkeypatch.setattr(decoding, "_MOST_VALUES", 60 * 48_000 * 2)

    assert (
        refusal(foreign(np.zeros((seconds * 48_000, channels), np.int16), 48_000, "FLAC", "PCM_16"))
        == "duration"
    )


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([WAV, FLAC, of_unknown_length(FLAC), VORBIS, OPUS, MP3]),
    st.floats(0, 1),
    st.binary(min_size=1, max_size=64),
    st.booleans(),
)
def test_bytes_that_were_changed_on_the_way_end_as_samples_or_as_a_reason(
    audio: bytes, place: float, changed: bytes, ends_there: bool
) -> None:
    at = int(place * len(audio))
    behind = b"" if ends_there else audio[at + len(changed) :]
    answer = reason_or_samples(audio[:at] + changed + behind)
    assert answer in ("format", "truncated", "duration") or 0 < len(answer) // 2 <= 3600 * RATE
