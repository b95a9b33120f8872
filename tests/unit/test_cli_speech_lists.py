"""`speech`: what is listed and described, of conversions, voices and models."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from antiphon.speech.v1 import speech_pb2
from antiphon.usage.v1 import usage_pb2
from typer.testing import CliRunner, Result

from services.cli.program import program
from tests.e2e.suite_process import environment
from tests.e2e.terminal import Terminal
from tests.scripted_speech import ScriptedSpeech, audio_of

Antiphon = Callable[..., Result]
STRANGER = "0198c5a2-0000-7000-8000-0000000000ff"
WAV = speech_pb2.AUDIO_FORMAT_WAV


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
        "TZ": "UTC",
    }


@pytest.fixture
def antiphon(outside: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Antiphon:
    """Runs a command with an API key, in a pipe."""
    for name in ("ANTIPHON_SERVER", "ANTIPHON_TOKEN", "XDG_CONFIG_HOME", "TZ"):
        monkeypatch.setenv(name, outside[name])

    def run(*arguments: str) -> Result:
        called = program(list(arguments))
        return CliRunner().invoke(called, list(arguments), prog_name="antiphon")

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


def test_conversions_are_listed_described_fetched_and_deleted(
    antiphon: Antiphon, server: ScriptedSpeech, folder: Path
) -> None:
    conversion_id = server.add_conversion("two\nlines", audio_format=WAV).conversion_id
    (row,) = done(antiphon("speech", "list", "--limit", "3"))
    assert row == [conversion_id, "2027-01-15 08:00:00+00:00", "0.40", "Anna", "espeak", "two lines"]
    assert sent(server, "ListConversions").page_size == 3
    url = f"antiphon://speech/conversions/{conversion_id}/audio"
    described = done(antiphon("speech", "get", url))
    assert ["format", "wav"] in described
    assert ["took", "40 ms"] in described
    assert described[-1] == ["text", "two lines"]
    assert not {"ssml", "owner"} & {name for name, *_ in described}
    refused(antiphon("speech", "get", url, "-o", "two.mp3"), "the audio is wav", "two.wav", status=2)
    fetched = json.loads(antiphon("speech", "get", url, "-o", "two.wav", "--json").stdout)
    assert (fetched["conversionId"], fetched["file"]) == (conversion_id, "two.wav")
    assert (folder / "two.wav").read_bytes() == audio_of("two lines", WAV)
    refused(antiphon("speech", "delete", conversion_id), "--yes", status=2)
    deleted = antiphon("speech", "delete", conversion_id, "--yes", "--json")
    assert json.loads(deleted.stdout) == {"conversionId": conversion_id}
    refused(antiphon("speech", "get", conversion_id), "there is no conversion", "antiphon speech list")
    gone = antiphon("speech", "delete", conversion_id, "--yes")
    refused(gone, "there is no conversion", "antiphon speech list")
    assert "--owner-token" not in gone.stderr
    calls = len(server.calls)
    for command in ("get", "delete"):
        refused(antiphon("speech", command, STRANGER[:20]), "antiphon speech list", status=2)
    assert len(server.calls) == calls


def test_a_list_has_the_beginning_of_a_long_text(antiphon: Antiphon, server: ScriptedSpeech) -> None:
    whole = "word " * 1000
    server.add_conversion(whole)
    ((*_, text),) = done(antiphon("speech", "list"))
    assert text.startswith("word word ")
    assert text.endswith("…")
    assert len(text) <= 100
    assert json.loads(antiphon("speech", "list", "--json").stdout)["conversions"][0]["text"] == whole


def test_models_fit_a_terminal_of_120_columns(outside: Mapping[str, str], server: ScriptedSpeech) -> None:
    for name in ("espeak-ng", "gpt-4o-mini-tts"):
        model = server.speech_models.models.add(name=name, ready=True, takes_ssml=True, provider=name)
        model.minimum_speaking_rate, model.maximum_speaking_rate = 0.25, 4
        model.minimum_pitch, model.maximum_pitch = -20, 20
        model.maximum_characters, model.anonymous_maximum_characters = 100_000, 2000
        model.default_voice, model.description = "en-us", "A long description. " * 5
        model.prices.add(unit=usage_pb2.UNIT_CHARACTERS, nano_usd_per_million=15_000_000_000)
    with Terminal(outside, "speech", "models", columns=120) as terminal:
        assert terminal.ended() == 0
    # One row for each model, and none for each of its fields.
    assert "voice: en-us" not in terminal.shown
    first = next(line for line in terminal.shown.splitlines() if "espeak-ng" in line)
    for told in ("0.25…4", "-20…20", "100000 (2000)", "$15 "):
        assert told in first


def test_voices_and_models_say_what_they_can(antiphon: Antiphon, server: ScriptedSpeech) -> None:
    female = speech_pb2.VOICE_GENDER_FEMALE
    server.voices.append(
        speech_pb2.Voice(name="es", language="es", model="espeak", sample_rate_hertz=22050, gender=female)
    )
    assert done(antiphon("speech", "voices", "-l", "es")) == [
        ["es", "es", "espeak", "", "female", "22050", ""]
    ]
    assert sent(server, "ListVoices").language == "es"
    server.speech_models.default_model = "espeak"
    model = server.speech_models.models.add(name="espeak", ready=True, takes_ssml=True)
    model.minimum_speaking_rate, model.maximum_speaking_rate = 0.5, 4
    model.maximum_characters = 100_000
    model.prices.add(unit=usage_pb2.UNIT_CHARACTERS, nano_usd_per_million=15_000_000_000)
    model.prices.add(unit=usage_pb2.UNIT_AUDIO_MILLISECONDS, nano_usd_per_million=250_000_000)
    server.speech_models.models.add(name="tts", not_ready_reason="set OPENAI_API_KEY")
    first, second = done(antiphon("speech", "models"))
    assert first[:2] == ["espeak *", "ready"]
    assert first[4:] == [
        "0.5 to 4",
        "",
        "100000",
        "",
        "ssml",
        "$15 a million characters, $0.90 an hour of audio",
        "",
    ]
    assert (second[1], second[-1]) == ("not ready", "set OPENAI_API_KEY")
