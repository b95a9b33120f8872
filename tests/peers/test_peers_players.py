"""`ffplay` hears what streams, in each format, from a pipe and without a length in its header."""

import shutil
import subprocess

import pytest

from services.cli.speech_files import FormatName
from services.cli.speech_players import PLAYERS, Playing
from services.cli.speech_spool import Spool

pytestmark = pytest.mark.peers


@pytest.mark.parametrize("form", list(FormatName))
def test_ffplay_hears_a_stream_to_its_end(form: FormatName, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (shutil.which("ffplay") and shutil.which("ffmpeg")):
        pytest.skip("ffplay is not installed")
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    tone = ["ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", "sine=duration=0.3:sample_rate=24000"]
    made = subprocess.run([*tone, "-f", form, "-"], capture_output=True, check=True, timeout=30).stdout
    (ffplay,) = (player for player in PLAYERS if player.program == "ffplay")
    with Spool() as spool, Playing(ffplay, spool) as playing:
        half = len(made) // 2
        spool.write(made[:half])
        playing.begin()
        spool.write(made[half:])
        spool.end()
        assert playing.hear_out(0.3) == ""
    monkeypatch.setenv("SDL_AUDIODRIVER", "no such driver")
    with Spool() as spool, Playing(ffplay, spool) as playing:
        spool.write(made)
        playing.begin()
        spool.end()
        assert playing.hear_out(0.3).startswith("ffplay ended ")
