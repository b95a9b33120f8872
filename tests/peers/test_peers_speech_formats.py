"""Files of speech in the hands of other people's players."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from services.speech.model import Format
from tests.fakes.speech_audio import File, Samples, file_of, likeness, sound
from tests.peers.readying import Readier
from tools import peers

RATES = (16000, 22050, 24000, 48000)
LASTS = (0.0, 0.001, 0.019, 1.0, 10.0324)
TOLERANCE = 0.02
SECONDS = 60

# What ffmpeg and sox are told: to write samples of 16 bits as they have them, at the file's rate.
_FFMPEG = ("-v", "error", "-f", "s16le", "-ac", "1", "-ar")


@pytest.fixture(scope="module")
def ffmpeg(peer: Readier) -> Path:
    return peer(peers.ffmpeg)


@pytest.fixture(scope="module")
def sox(peer: Readier) -> Path:
    return peer(peers.sox)


def played(command: list[str]) -> Samples:
    done = subprocess.run(
        command, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    return np.frombuffer(done.stdout, "<i2")


def assert_the_same(player: str, format_: Format, rate: int, file: File, heard: Samples) -> None:
    difference = len(heard) / file.encoder.sample_rate - file.seconds
    print(f"{player} {format_.value} {rate} Hz: {file.seconds:.4f} s, {1000 * difference:+.3f} ms")
    assert abs(difference) <= TOLERANCE
    if file.seconds > 0.5:
        wanted = sound(file.samples, file.encoder.sample_rate)
        assert likeness(heard[file.encoder.delay :], wanted) > 0.98


def written(folder: Path, format_: Format, rate: int, seconds: float) -> tuple[File, Path]:
    file = file_of(format_, rate, [sound(round(rate * seconds), rate)])
    path = folder / f"speech.{format_.value}"
    path.write_bytes(file.data)
    return file, path


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("format_", Format)
def test_ffmpeg_hears_what_the_duration_says(
    format_: Format, rate: int, ffmpeg: Path, tmp_path: Path
) -> None:
    for seconds in LASTS:
        file, path = written(tmp_path, format_, rate, seconds)
        options = [*_FFMPEG, str(file.encoder.sample_rate)]
        heard = played([str(ffmpeg), "-nostdin", "-i", str(path), *options, "-"])
        assert_the_same("ffmpeg", format_, rate, file, heard)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("format_", [Format.WAV, Format.MP3, Format.FLAC])
def test_sox_hears_what_the_duration_says(format_: Format, rate: int, sox: Path, tmp_path: Path) -> None:
    """But of Opus, which Debian's sox does not know."""
    for seconds in LASTS:
        file, path = written(tmp_path, format_, rate, seconds)
        heard = played([str(sox), str(path), "-t", "s16", "-L", "-"])
        assert_the_same("sox", format_, rate, file, heard)
