"""`speech say` and `get`: what is spoken and written, and what is refused before anything is asked for."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from antiphon.speech.v1 import speech_pb2
from typer.testing import CliRunner, Result

from services.cli.program import program
from tests.e2e.suite_process import environment
from tests.scripted_server import BROKEN, failing
from tests.scripted_speech import OWNER_TOKEN, ScriptedSpeech, Step, audio_of, pieces, spoken

Antiphon = Callable[..., Result]
SAY = ("speech", "say", "hello", "world")
MP3, WAV, OGG, FLAC = (
    speech_pb2.AUDIO_FORMAT_MP3,
    speech_pb2.AUDIO_FORMAT_WAV,
    speech_pb2.AUDIO_FORMAT_OGG_OPUS,
    speech_pb2.AUDIO_FORMAT_FLAC,
)
HELLO = audio_of("hello world", MP3)
SCOPE = failing(grpc.StatusCode.PERMISSION_DENIED, "SCOPE_REQUIRED", "no more", scope="speech.read")


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
def outside(server: ScriptedSpeech, tmp_path: Path) -> Mapping[str, str]:
    """What surrounds a process of the command line."""
    return environment(tmp_path) | {
        "ANTIPHON_SERVER": server.address,
        "ANTIPHON_TOKEN": "ak_abc_secret",
        # There is nobody who plays.
        "PATH": str(tmp_path),
        "TZ": "UTC",
    }


@pytest.fixture
def antiphon(outside: Mapping[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Antiphon:
    """Runs a command with an API key, in a pipe; `typed` is what comes from standard input."""
    for name in ("ANTIPHON_SERVER", "ANTIPHON_TOKEN", "PATH", "XDG_CONFIG_HOME", "TZ"):
        monkeypatch.setenv(name, outside[name])

    def run(*arguments: str, typed: bytes = b"") -> Result:
        called = program(list(arguments))
        return CliRunner().invoke(called, list(arguments), input=typed, prog_name="antiphon")

    return run


def done(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.stderr
    return [line.split("\t") for line in result.stdout.splitlines()]


def refused(result: Result, *texts: str, status: int = 1) -> None:
    assert result.exit_code == status, result.stderr
    assert "Traceback" not in result.stderr
    for text in texts:
        assert text in result.stderr


def sent(server: ScriptedSpeech, method: str) -> Any:
    return server.of(method)[-1].request


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_text_is_spoken_as_asked_and_written(
    antiphon: Antiphon, server: ScriptedSpeech, folder: Path
) -> None:
    options = ("-l", "es", "--voice", "Ana", "--model", "espeak", "--rate", "1.2", "--pitch", "-2")
    (row,) = done(antiphon(*SAY, *options, "-o", "hola.mp3"))
    request = sent(server, "StreamSynthesize")
    assert (request.text, request.language, request.voice, request.model) == (
        "hello world",
        "es",
        "Ana",
        "espeak",
    )
    assert (request.speaking_rate, request.pitch, request.format) == (1.2, -2, MP3)
    conversion_id = server.conversions[0].conversion_id
    assert row == [conversion_id, "Ana", "espeak", "11", "0.40", "64", "hola.mp3"]
    assert (names(folder), (folder / "hola.mp3").read_bytes()) == (["hola.mp3"], HELLO)
    # What was streamed is what is stored: nothing was sent twice.
    assert len(server.calls) == 1


@pytest.mark.parametrize(("ending", "form"), [("wav", WAV), ("FLAC", FLAC), ("ogg", OGG), ("opus", OGG)])
def test_a_file_is_the_stored_one_and_not_what_was_streamed(
    antiphon: Antiphon, server: ScriptedSpeech, folder: Path, ending: str, form: speech_pb2.AudioFormat
) -> None:
    done(antiphon(*SAY, "-o", f"hola.{ending}"))
    assert sent(server, "StreamSynthesize").format == form
    assert (folder / f"hola.{ending}").read_bytes() == audio_of("hello world", form)


def test_without_a_name_the_file_has_that_of_the_conversion(
    antiphon: Antiphon, server: ScriptedSpeech, folder: Path
) -> None:
    told = json.loads(antiphon(*SAY, "--format", "wav", "--json").stdout)["conversion"]
    assert told["file"] == f"speech-{told['conversionId']}.wav"
    assert names(folder) == [told["file"]]


@pytest.mark.parametrize(
    ("arguments", "typed", "ssml"),
    [
        (("-",), "hello world", False),
        ((), "hello world", False),
        (("--file", "text.txt"), "", False),
        (("--file", "-", "--ssml"), "<speak>hello world</speak>", True),
    ],
)
def test_a_text_may_come_from_elsewhere(
    antiphon: Antiphon,
    server: ScriptedSpeech,
    folder: Path,
    arguments: tuple[str, ...],
    typed: str,
    ssml: bool,
) -> None:
    (folder / "text.txt").write_bytes(b"\xef\xbb\xbfhello world")
    done(antiphon("speech", "say", *arguments, "-o", "hola.mp3", typed=typed.encode()))
    request = sent(server, "StreamSynthesize")
    assert (request.text, request.ssml) == (("", typed) if ssml else ("hello world", ""))


@pytest.mark.parametrize(
    ("arguments", "status", "texts"),
    [
        (
            ("hi", "-o", "hola.aac"),
            2,
            (".aac is the ending of no format that audio comes in", ".mp3, .wav, .ogg, .opus, .flac"),
        ),
        (("hi", "-o", "hola.mp3", "--format", "wav"), 2, ("--format says wav", "hola.wav")),
        (("hi", "--format", "flca"), 2, ("Did you mean flac?",)),
        (("hi", "-o", "there.mp3"), 1, ("--force",)),
        (("hi", "-o", "nowhere/hola.mp3"), 1, ("the folder nowhere is not there",)),
        (("hi", "-o", "."), 2, ("is a folder",)),
        (("hi", "-o", "-", "--json"), 2, ("exclude each other",)),
        (("hi", "--play"), 1, ("there is no player here", "ffmpeg", "-o FILE")),
        (("hi", "--file", "text.txt"), 2, ("exclude each other",)),
        (("--file", "none.txt"), 1, ("none.txt can't be read: No such file",)),
        (("--file", "latin.txt"), 2, ("latin.txt (byte 3) is no UTF-8 text",)),
        (("--file", "large.txt"), 2, ("more than 1,048,576 bytes", "antiphon speech models")),
        ((), 2, ("there is nothing to speak: standard input is empty",)),
        (("hi", "-o", f"{'a' * 250}.mp3"), 1, ("can't be written: File name too long",)),
        (
            ("hi", "--rate", "fast"),
            2,
            ("fast is no rate: write a number such as 1.2; `antiphon speech models`",),
        ),
        (("hi", "--rate", "nan"), 2, ("nan is no rate",)),
        (("hi", "--rate", "0"), 2, ("0 is no rate",)),
        (("hi", "--rate", "4.1"), 2, ("4.1 is no rate",)),
        (("hi", "--pitch", "-21"), 2, ("-21 is no pitch: write a number such as -2",)),
        (("hi", "-l", "español"), 2, ("español is no language tag such as es or en-GB",)),
        (("-5 degrees",), 2, ("No such option: -5. Behind `--` all is text: antiphon speech say -- TEXT",)),
    ],
)
def test_what_can_not_be_spoken_or_written_is_refused_before_it_costs_anything(
    antiphon: Antiphon,
    server: ScriptedSpeech,
    folder: Path,
    arguments: tuple[str, ...],
    status: int,
    texts: tuple[str, ...],
) -> None:
    (folder / "there.mp3").touch()
    (folder / "text.txt").write_text("hello")
    (folder / "latin.txt").write_bytes("olé".encode("latin-1") + b"!")
    (folder / "large.txt").write_bytes(b"a" * (2**20 + 1))
    before = names(folder)
    refused(antiphon("speech", "say", *arguments), *texts, status=status)
    assert (server.calls, names(folder)) == ([], before)


def test_standard_output_has_the_stored_file_alone(antiphon: Antiphon, server: ScriptedSpeech) -> None:
    told = antiphon(*SAY, "-o", "-", "--format", "wav")
    assert (told.exit_code, told.stdout_bytes) == (0, audio_of("hello world", WAV))
    assert server.conversions[0].conversion_id in told.stderr


def test_a_stored_file_that_can_not_be_fetched_leaves_what_was_streamed(
    antiphon: Antiphon, server: ScriptedSpeech, folder: Path
) -> None:
    server.downloads.append([*pieces(audio_of("hello world", WAV))[:2], SCOPE])
    told = antiphon(*SAY, "-o", "hola.wav")
    conversion_id = server.conversions[0].conversion_id
    refused(told, "could not be fetched", "what was streamed", f"speech get {conversion_id} -o hola.wav\n")
    assert (folder / "hola.wav").read_bytes() == audio_of("hello world", WAV, streamed=True)
    assert told.stdout.startswith(conversion_id)


def test_a_speech_that_breaks_off_leaves_no_file(
    antiphon: Antiphon, server: ScriptedSpeech, folder: Path
) -> None:
    failed = failing(grpc.StatusCode.UNAVAILABLE, "AUDIO_UNUSABLE", "no audio came", detail="format")
    server.speeches.append([*spoken(server.add_conversion("hello world"))[:4], failed])
    refused(antiphon(*SAY, "-o", "hola.mp3"), "no audio came", "another model")
    assert names(folder) == []


def test_a_connection_that_breaks_is_sought_and_told_once(
    antiphon: Antiphon, server: ScriptedSpeech, folder: Path
) -> None:
    broken: list[Step] = [*spoken(server.add_conversion("hello world"))[:4], BROKEN]
    server.speeches += [broken] * 3
    told = antiphon(*SAY, "-o", "hola.mp3")
    assert done(told)
    assert told.stderr.count("(the connection was lost; asking again …)") == 1
    assert (folder / "hola.mp3").read_bytes() == HELLO


def test_where_nobody_answered_no_connection_was_lost(
    antiphon: Antiphon, server: ScriptedSpeech, folder: Path
) -> None:
    server.speeches += [[BROKEN]] * 3
    told = antiphon(*SAY, "-o", "hola.mp3")
    refused(told, "antiphon: no server answers at")
    assert len(server.calls) == 3
    assert "lost" not in told.stderr


def test_a_limit_is_waited_for_and_called_so(
    antiphon: Antiphon, server: ScriptedSpeech, folder: Path
) -> None:
    busy = failing(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "too many", retry_after=0.01)
    server.fail("StreamSynthesize", busy)
    told = antiphon(*SAY, "-o", "hola.mp3")
    assert done(told)
    assert "(a limit of the server is reached; waiting 1 s for it …)" in told.stderr
    assert "lost" not in told.stderr


def test_speech_can_be_fetched_later_without_an_account(
    antiphon: Antiphon, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.delenv("ANTIPHON_TOKEN")
    told = antiphon(*SAY, "-o", "hola.mp3")
    ((conversion_id, *_),) = done(told)
    command = f"antiphon speech get {conversion_id} --owner-token {OWNER_TOKEN} -o hola.mp3"
    assert f"{command}\n" in told.stderr
    # Pasted as it is, it replaces nothing.
    refused(antiphon(*command.split()[1:]), "hola.mp3 is there already")
    (folder / "hola.mp3").unlink()
    done(antiphon(*command.split()[1:]))
    alone = antiphon("speech", "get", conversion_id)
    refused(alone, "there is no conversion", "--owner-token", "antiphon login")
    assert "speech list" not in alone.stderr
    assert json.loads(antiphon(*SAY, "--json").stdout)["conversion"]["ownerToken"] == OWNER_TOKEN


@pytest.mark.parametrize(
    ("failure", "texts"),
    [
        (
            failing(
                grpc.StatusCode.NOT_FOUND,
                "VOICE_NOT_FOUND",
                "no voice is called 'Anna'; ListVoices tells which there are",
                resource=("speech.voice", "Anna"),
            ),
            ("no voice is called 'Anna'\n", "`antiphon speech voices`"),
        ),
        (
            failing(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", model="espeek"),
            ("there is no model espeek", "`antiphon speech models`"),
        ),
        (
            failing(
                grpc.StatusCode.INVALID_ARGUMENT,
                "UNSUPPORTED_INPUT",
                "pitch: it takes none",
                violations=[("pitch", "it takes none")],
            ),
            ("--pitch: it takes none", "`antiphon speech models`"),
        ),
        (
            failing(grpc.StatusCode.UNAVAILABLE, "AUDIO_NOT_STORED", "it can't be stored now"),
            ("object store",),
        ),
        (failing(grpc.StatusCode.UNAVAILABLE, "ENGINE_STOPPED", "it ended"), ("say it again",)),
        (
            failing(
                grpc.StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE", "the provider is away", model="tts-1"
            ),
            ("antiphon: tts-1: the provider is away", "speak it: antiphon speech models"),
        ),
        (
            failing(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_LONG", "it lasts longer than 60 minutes"),
            ("60 minutes", "in parts"),
        ),
        (failing(grpc.StatusCode.UNIMPLEMENTED), ("--server SPEECH",)),
    ],
)
def test_a_refusal_says_what_to_do(
    antiphon: Antiphon, server: ScriptedSpeech, folder: Path, failure: Any, texts: tuple[str, ...]
) -> None:
    server.fail("StreamSynthesize", *[failure] * 3)
    refused(antiphon(*SAY, "-o", "hola.mp3"), *texts)
    assert names(folder) == []
