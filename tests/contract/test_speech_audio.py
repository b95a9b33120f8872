"""Files of speech, piece by piece: what a stream plays, and what is stored."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.infra.workers.errors import JobRefused
from services.speech.model import Format
from services.speech.providers.audio import wav
from services.speech.providers.audio.encoders import encoder
from tests.fakes.speech_audio import File, Samples, file_of, likeness, sound

RATES = (16000, 22050, 24000, 48000)
LASTS = (0.0, 1 / 48000, 0.019, 0.02, 1.0)
LONG = 10.0324
CHUNK = 1499


def cut(samples: Samples, places: list[int]) -> list[Samples]:
    return [samples[since:until] for since, until in pairwise([0, *sorted(places), len(samples)])]


def heard(file: File) -> Samples:
    """What a decoder makes of it, at the rate that was told."""
    samples, rate = soundfile.read(io.BytesIO(file.data), dtype="int16")
    assert rate == file.encoder.sample_rate
    return np.asarray(samples)


def assert_exact(format_: Format, rate: int, seconds: float) -> None:
    samples = sound(-int(-seconds * rate // 1), rate)
    file = file_of(format_, rate, cut(samples, list(range(CHUNK, len(samples), CHUNK))))

    assert len(heard(file)) == file.samples
    most = file.encoder.sample_rate // 5
    least = file.encoder.sample_rate // 50 if len(file.pieces) > 1 else 1
    assert all(least <= piece <= most for piece in file.pieces), file.pieces


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("format_", Format)
def test_pieces_are_short_and_their_samples_are_exactly_what_is_decoded(format_: Format, rate: int) -> None:
    for seconds in LASTS:
        assert_exact(format_, rate, seconds)


@pytest.mark.parametrize("format_", Format)
def test_long_files_are_as_exact(format_: Format) -> None:
    assert_exact(format_, 22050, LONG)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("format_", Format)
def test_what_is_heard_is_what_went_in_behind_the_delay_that_is_told(format_: Format, rate: int) -> None:
    file = file_of(format_, rate, [sound(rate, rate)])

    wanted = sound(file.encoder.sample_rate, file.encoder.sample_rate)
    assert likeness(heard(file)[file.encoder.delay :], wanted) > 0.98


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(Format),
    st.integers(0, 12_000),
    st.lists(st.integers(0, 12_000), max_size=6),
)
def test_it_does_not_matter_in_which_parts_samples_come(
    format_: Format, length: int, places: list[int]
) -> None:
    samples = sound(length, 22050)
    whole = file_of(format_, 22050, [samples])
    parted = file_of(format_, 22050, cut(samples, [min(place, length) for place in places]))

    assert parted.pieces == whole.pieces
    # Each Ogg file has a number of its own by chance.
    assert parted.data == whole.data or format_ is Format.OGG_OPUS


@pytest.mark.parametrize("format_", Format)
def test_the_first_piece_is_there_long_before_the_last_samples_are(format_: Format) -> None:
    one = encoder(format_, 24000)

    assert one.encode(sound(12_000, 24000).tobytes())


@pytest.mark.parametrize("format_", Format)
def test_a_file_of_nothing_to_say_is_silent_for_a_moment(format_: Format) -> None:
    file = file_of(format_, 22050, [])

    assert 0.02 <= file.seconds <= 0.2
    assert not np.any(np.abs(heard(file)) > 1)


@pytest.mark.parametrize(
    ("format_", "rate", "nearest"),
    [
        (Format.OGG_OPUS, 22050, 24000),
        (Format.OGG_OPUS, 44100, 48000),
        (Format.MP3, 37800, 44100),
        (Format.WAV, 37800, 37800),
        (Format.FLAC, 37800, 37800),
    ],
)
def test_a_rate_that_the_format_does_not_know_becomes_the_next_one(
    format_: Format, rate: int, nearest: int
) -> None:
    file = file_of(format_, rate, [sound(rate, rate)])

    assert file.encoder.sample_rate == nearest
    assert file.seconds == pytest.approx(1.0, abs=0.1)


def test_more_than_a_wav_file_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wav, "_MOST_BYTES", 1000)
    one = encoder(Format.WAV, 8000)
    one.encode(bytes(1000))

    with pytest.raises(JobRefused) as refused:
        one.encode(bytes(2))
    assert refused.value.reason == "duration"
