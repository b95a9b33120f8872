"""`speech say --play`: what is heard and when, who plays it, and what is kept when nobody does."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import grpc
import pytest
from antiphon.speech.v1 import speech_pb2
from typer.testing import CliRunner, Result

from services.cli.program import program
from tests.e2e.suite_process import environment
from tests.e2e.terminal import Terminal
from tests.scripted_server import until_the_caller_leaves
from tests.scripted_speech import Event, ScriptedSpeech, audio_of, spoken

Antiphon = Callable[..., Result]
SAY = ("speech", "say", "hello", "world")
WAV = speech_pb2.AUDIO_FORMAT_WAV
HELLO = audio_of("hello world", speech_pb2.AUDIO_FORMAT_MP3)

# It says when it has heard something, and what it has heard in the end.
PLAYER = f"""#!{sys.executable}
import os, sys
folder = os.path.dirname(os.path.abspath(__file__))
first = os.read(0, 16)
with open(folder + "/begun", "wb") as file:
    file.write(first)
rest = sys.stdin.buffer.read()
with open(folder + "/heard.part", "wb") as file:
    file.write(first + rest)
os.rename(folder + "/heard.part", folder + "/heard")
"""
DEAF = f"""#!{sys.executable}
import signal
signal.pause()
"""
MUTE = f"""#!{sys.executable}
import sys
print("no audio device", file=sys.stderr)
sys.exit({{status}})
"""


@pytest.fixture
def server() -> Iterator[ScriptedSpeech]:
    with ScriptedSpeech() as scripted:
        yield scripted


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run."""
    made = tmp_path / "work"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """The folder that programs are looked for in; there are none."""
    made = tmp_path / "bin"
    made.mkdir()
    return made


@pytest.fixture
def outside(server: ScriptedSpeech, programs: Path, tmp_path: Path) -> Mapping[str, str]:
    """What surrounds a process of the command line."""
    return environment(tmp_path) | {
        "ANTIPHON_SERVER": server.address,
        "ANTIPHON_TOKEN": "ak_abc_secret",
        "PATH": str(programs),
        "TZ": "UTC",
    }


@pytest.fixture
def antiphon(outside: Mapping[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Antiphon:
    """Runs a command with an API key, in a pipe."""
    for name in ("ANTIPHON_SERVER", "ANTIPHON_TOKEN", "PATH", "XDG_CONFIG_HOME", "TZ"):
        monkeypatch.setenv(name, outside[name])

    def run(*arguments: str) -> Result:
        called = program(list(arguments))
        return CliRunner().invoke(called, list(arguments), prog_name="antiphon")

    return run


def install(programs: Path, name: str, script: str = PLAYER) -> None:
    file = programs / name
    file.write_text(script)
    file.chmod(0o700)


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 20
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} has not come"
        time.sleep(0.005)


def done(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.stderr
    return [line.split("\t") for line in result.stdout.splitlines()]


def refused(result: Result, *texts: str, status: int = 1) -> None:
    assert result.exit_code == status, result.stderr
    assert "Traceback" not in result.stderr
    for text in texts:
        assert text in result.stderr


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_it_is_heard_while_it_is_made(
    antiphon: Antiphon, server: ScriptedSpeech, programs: Path, folder: Path
) -> None:
    install(programs, "mpv")

    def between(event: Event, context: object) -> None:
        if event.HasField("finished"):
            wait_for(programs / "begun")

    server.between = between
    told = antiphon(*SAY, "--play")
    (row,) = done(told)
    assert (row[-1], names(folder)) == ("", [])
    assert f"antiphon speech get {row[0]} -o speech-{row[0]}.mp3" in told.stderr
    assert (programs / "heard").read_bytes() == HELLO


def test_a_player_of_wav_alone_gets_wav(antiphon: Antiphon, server: ScriptedSpeech, programs: Path) -> None:
    install(programs, "aplay")
    done(antiphon(*SAY, "--play"))
    assert (programs / "heard").read_bytes() == audio_of("hello world", WAV, streamed=True)


def test_where_nobody_plays_the_file_is_kept_all_the_same(
    antiphon: Antiphon, server: ScriptedSpeech, programs: Path, folder: Path
) -> None:
    install(programs, "aplay")
    told = antiphon(*SAY, "--play", "-o", "hola.mp3")
    refused(told, "no player that plays MP3", "ffplay", "hola.mp3 is kept.")
    assert (folder / "hola.mp3").read_bytes() == HELLO


@pytest.mark.parametrize(("status", "how"), [(3, "ended with 3"), (0, "ended at once")])
def test_a_player_that_fails_is_told_and_what_is_kept(
    antiphon: Antiphon, server: ScriptedSpeech, programs: Path, folder: Path, status: int, how: str
) -> None:
    install(programs, "ffplay", MUTE.format(status=status))
    conversion = server.add_conversion("hello world")
    conversion.duration_seconds = 60
    server.speeches += [spoken(conversion)] * 2
    told = antiphon(*SAY, "--play", "-o", "hola.mp3")
    refused(told, f"ffplay {how}: no audio device", "hola.mp3 is kept.")
    assert (folder / "hola.mp3").read_bytes() == HELLO
    told = antiphon(*SAY, "--play")
    refused(told, how, f"antiphon speech get {conversion.conversion_id} -o speech-")


def test_a_terminal_shows_how_much_was_spoken_and_ctrl_c_ends_it(
    outside: Mapping[str, str], server: ScriptedSpeech, programs: Path
) -> None:
    install(programs, "ffplay")
    begun, its_turn = threading.Event(), threading.Event()

    def until_left(context: grpc.ServicerContext) -> None:
        begun.set()
        until_the_caller_leaves(context)

    started, *rest = spoken(server.add_conversion("hello world"))[:4]
    server.speeches.append([started, lambda _: its_turn.wait(10), *rest, until_left])
    with Terminal(outside, *SAY, "--play") as terminal:
        terminal.wait_for("waiting for its turn")
        its_turn.set()
        terminal.wait_for("speaking, 0.2 s of audio")
        assert begun.wait(10)
        wait_for(programs / "begun")
        assert terminal.ended("\x03") == 130
    # All may have been spoken.
    assert "nothing was kept" not in terminal.shown
    assert "`antiphon speech list`" in terminal.shown
    assert "Traceback" not in terminal.shown
    assert server.of("StreamSynthesize")[0].ended.wait(10)


def test_ctrl_c_ends_the_player_and_says_what_was_kept(
    outside: Mapping[str, str], server: ScriptedSpeech, programs: Path, tmp_path: Path
) -> None:
    install(programs, "ffplay", DEAF)
    with Terminal(outside, *SAY, "--play", "-o", str(tmp_path / "hola.mp3")) as terminal:
        terminal.wait_for("playing … 0 s")
        assert terminal.ended("\x03") == 130
    assert "hola.mp3 is kept." in terminal.shown
    assert (tmp_path / "hola.mp3").read_bytes() == HELLO
