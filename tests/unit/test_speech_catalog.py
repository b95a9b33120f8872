"""The catalog of speech models: what is on offer in which order, and what is wrong with a file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.bootstrap.findings import Finding, Verdict
from services.bootstrap.speech_models import speech_models_found
from services.capabilities.metering.model import Unit
from services.capabilities.upstream.catalogs import CatalogReload
from services.capabilities.upstream.errors import ModelNotReady
from services.kernel.startup import StartupError
from services.settings import ChatSettings, SecretStr, Settings, SpeechSettings
from services.speech.errors import ModelNotFound
from services.speech.model import Gender, Voice
from services.speech.ports import Speaker
from services.speech.providers import catalog_file
from services.speech.providers.catalog import BuiltIn, Endpoint, FileCatalog, configured_catalog
from services.speech.providers.catalog_file import Protocol, ResponseFormat
from services.speech.providers.espeak import adapter
from services.speech.providers.espeak.adapter import PITCHES, RATES
from tests.fakes.speech_speaker import FakeSpeaker

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "speech-models.md").read_text(encoding="utf-8")
EXAMPLES = sorted((DOCS / "speech-models").glob("*.toml"))
PROVIDER = '[providers.own]\nprotocol = "openai"\nbase_url = "http://127.0.0.1:8880/v1"\n'
MODEL = '[[models]]\nname = "a"\nprovider = "own"\nvoices = ["x"]\n'
OPENAI = ["gpt-4o-mini-tts", "tts-1", "tts-1-hd"]
SPEAKER = FakeSpeaker()


class Made:
    """The endpoints that adapters were made for, by model."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Endpoint] = {}

    def __call__(self, endpoint: Endpoint) -> Speaker:
        self.endpoints[endpoint.model] = endpoint
        return FakeSpeaker()


def load(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    installed: bool = True,
    made: Made | None = None,
    chat: ChatSettings | None = None,
    **speech: Any,
) -> FileCatalog:
    settings = Settings(chat=chat or ChatSettings(), speech=SpeechSettings(models_file=path, **speech))
    built_in = BuiltIn(SPEAKER, installed, SPEAKER)
    return configured_catalog(settings, environ or {}, made or Made(), built_in)


def written(folder: Path, text: str) -> Path:
    path = folder / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_needs_nothing_speaks_where_it_is_installed() -> None:
    catalog = load()
    assert list(catalog.models) == ["espeak-ng", *OPENAI, "gtts"]
    assert [model.name for model in catalog.models.values() if model.ready] == ["espeak-ng", "gtts"]
    assert catalog.default.name == "espeak-ng"
    assert catalog.models["tts-1"].not_ready_reason == "set OPENAI_API_KEY"
    with pytest.raises(ModelNotReady, match="OPENAI_API_KEY"):
        catalog.find("tts-1")
    with pytest.raises(ModelNotFound, match="ListModels"):
        catalog.find("no-such")


def test_where_it_is_not_installed_it_stands_behind_and_says_what_to_do() -> None:
    catalog = load(installed=False)
    assert list(catalog.models) == [*OPENAI, "espeak-ng", "gtts"]
    assert catalog.default.name == "gtts"
    with pytest.raises(ModelNotReady, match=re.escape("pip install 'antiphon[espeak]'")):
        catalog.find("espeak-ng")
    assert load(None, {"OPENAI_API_KEY": "k"}, installed=False).default.name == "gpt-4o-mini-tts"


def test_google_translate_can_be_switched_off_and_then_maybe_nobody_speaks() -> None:
    catalog = load(installed=False, gtts=False)
    assert catalog.models["gtts"].not_ready_reason == "switched off by ANTIPHON_SPEECH__GTTS"
    assert catalog.default is catalog.models["gpt-4o-mini-tts"]
    with pytest.raises(ModelNotReady):
        catalog.find("")


@pytest.mark.parametrize("name", ["espeak-ng", "tts-1-hd", "gtts"])
def test_the_model_of_the_settings_is_first(name: str) -> None:
    models = list(load(default_model=name).models)
    assert models[0] == name
    assert sorted(models) == sorted(["espeak-ng", *OPENAI, "gtts"])


def test_a_default_model_that_there_is_not_is_told_with_those_that_there_are() -> None:
    with pytest.raises(
        StartupError, match="'espeak'; there are espeak-ng, gpt-4o-mini-tts, tts-1"
    ) as refused:
        load(default_model="espeak")
    assert "ANTIPHON_SPEECH__DEFAULT_MODEL" in refused.value.advice


def test_what_the_built_in_models_can() -> None:
    models = load(timeout=7).models
    espeak, gtts = models["espeak-ng"], models["gtts"]
    assert (espeak.rates, espeak.pitches) == (RATES, PITCHES)
    assert (espeak.takes_ssml, espeak.gives_word_timings) == (True, True)
    assert (gtts.rates, gtts.pitches, gtts.longest_segment) == ((1, 1), (0, 0), 100)
    assert (gtts.takes_ssml, gtts.gives_word_timings) == (False, False)
    assert espeak.speaker is gtts.speaker is SPEAKER
    assert espeak.prices == gtts.prices == {Unit.CHARACTERS: 0, Unit.AUDIO_MILLISECONDS: 0}
    assert {model.timeout for model in models.values()} == {7}


def test_what_models_of_openai_can_and_cost() -> None:
    made = Made()
    models = load(None, {"OPENAI_API_KEY": "sk-1"}, made=made).models
    assert {name: dict(models[name].prices) for name in OPENAI} == {
        "gpt-4o-mini-tts": {},
        "tts-1": {Unit.CHARACTERS: 15_000_000_000, Unit.AUDIO_MILLISECONDS: 0},
        "tts-1-hd": {Unit.CHARACTERS: 30_000_000_000, Unit.AUDIO_MILLISECONDS: 0},
    }
    assert {models[name].default_voice for name in OPENAI} == {"alloy"}
    assert {models[name].rates for name in OPENAI} == {(0.25, 4)}
    assert models["tts-1"].longest_segment == 4096
    endpoint = made.endpoints["tts-1"]
    assert (endpoint.base_url, endpoint.key) == ("https://api.openai.com/v1", "sk-1")
    assert endpoint.response_format is ResponseFormat.WAV
    assert {voice.sample_rate for voice in endpoint.voices} == {24_000}


def test_the_settings_have_the_key_and_the_address() -> None:
    made = Made()
    chat = ChatSettings(openai_api_key=SecretStr("sk-2"), openai_base_url="http://127.0.0.1:1/v1")
    assert all(model.ready for model in load(made=made, chat=chat).models.values())
    assert {(one.base_url, one.key) for one in made.endpoints.values()} == {("http://127.0.0.1:1/v1", "sk-2")}
    chat = ChatSettings(openai_base_url="http://me:secret@127.0.0.1/v1")
    reason = load(None, {"OPENAI_API_KEY": "x"}, chat=chat).models["tts-1"].not_ready_reason
    assert "password" in reason
    assert "secret" not in reason


def test_all_that_an_entry_may_say(tmp_path: Path) -> None:
    made = Made()
    text = PROVIDER + 'api_key_env = "OWN_KEY"\ntimeout = "5m"\nconnect_timeout = 2\n'
    text += MODEL.replace(
        '["x"]', '["x", { name = "y", display_name = "Ypsilon", language = "pt-BR", gender = "female" }]'
    )
    text += 'upstream = "b"\ndisplay_name = "A"\ndescription = "das Erste"\nrates = [0.5, 2]\nlongest_segment = 500\n'
    text += 'price_per_million_characters = "0.000000001"\nresponse_format = "opus"\nsample_rate = 16000\ntimeout = "90s"\n'
    text += '[[models]]\nname = "c"\nprovider = "own"\nvoices = ["z"]\n'
    models = load(written(tmp_path, text), {"OWN_KEY": " k\n"}, made=made).models
    assert list(models) == ["espeak-ng", "a", "c", "gtts"]
    first, second, endpoint = models["a"], models["c"], made.endpoints["a"]
    assert (first.upstream, first.display_name, first.description) == ("b", "A", "das Erste")
    assert (first.rates, first.pitches, first.longest_segment) == ((0.5, 2), (0, 0), 500)
    assert (first.prices, first.default_voice) == ({Unit.CHARACTERS: 1, Unit.AUDIO_MILLISECONDS: 0}, "x")
    assert endpoint.voices == (
        Voice("x", "X", "", 16_000, "x"),
        Voice("y", "Ypsilon", "pt-BR", 16_000, "y", Gender.FEMALE),
    )
    assert (endpoint.key, endpoint.response_format) == ("k", ResponseFormat.OPUS)
    assert (endpoint.timeouts.connect, endpoint.timeouts.total) == (2, 90)
    assert (second.upstream, second.display_name, second.rates) == ("c", "c", (0.25, 4))
    assert (second.timeout, second.longest_segment, second.prices) == (300, 4096, {})


def test_an_empty_file_offers_what_is_built_in(tmp_path: Path) -> None:
    assert list(load(written(tmp_path, "")).models) == ["espeak-ng", "gtts"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = ", ":1: this is not TOML"),
        ("[extra]\n", "'extra'; known are models, providers"),
        ('[providers.own]\nprotocol = "openai"', ":1: provider 'own' needs base_url"),
        (
            PROVIDER.replace('"openai"', '"gtts"'),
            ":2: provider 'own' has the protocol 'gtts'; known are openai",
        ),
        (PROVIDER + "idle_timeout = 5", "'idle_timeout'; known are api_key_env"),
        (PROVIDER + 'api_key_env = "sk-secret"', "a variable's name"),
        (MODEL, "names the provider 'own', which the file does not have"),
        (PROVIDER + MODEL.replace('"a"', '"gtts"'), "'gtts' is taken already"),
        (PROVIDER + MODEL.replace('"a"', '"espeak-ng"'), "'espeak-ng' is taken already"),
        (PROVIDER + MODEL + "pitch = 1", "model 'a' has 'pitch'"),
        (PROVIDER + MODEL.replace('["x"]', "[]"), ":7: model 'a' needs voices"),
        (PROVIDER + MODEL.replace('voices = ["x"]', ""), "model 'a' needs voices"),
        (PROVIDER + MODEL.replace('["x"]', '"x"'), "needs voices"),
        (PROVIDER + MODEL.replace('["x"]', "[5]"), "neither a name nor a table"),
        (PROVIDER + MODEL.replace('["x"]', '["x", "x"]'), "has the voice 'x' twice"),
        (PROVIDER + MODEL.replace('["x"]', '["x", { language = "en" }]'), "voice 2 of model 'a' needs name"),
        (PROVIDER + MODEL.replace('"x"', '{ name = "x", age = 7 }'), "voice 1 of model 'a' has 'age'"),
        (PROVIDER + MODEL.replace('"x"', '{ name = "x", language = "Ελ" }'), "a BCP 47 tag is wanted"),
        (PROVIDER + MODEL.replace('"x"', '{ name = "x", language = "zh-Hant-TW-x" }'), "BCP 47 tag"),
        (PROVIDER + MODEL.replace('"x"', '{ name = "x", gender = "f" }'), "known are male, female, neutral"),
        (PROVIDER + MODEL.replace('"x"', f'"{"x" * 101}"'), "more than 100 characters"),
        (PROVIDER + MODEL + "rates = [2, 0.5]", "rates, which has to be the least and the largest"),
        (PROVIDER + MODEL + "rates = [1.5, 2]", "1 is between them"),
        (PROVIDER + MODEL + "rates = [0.5, 5]", "the least and the largest"),
        (PROVIDER + MODEL + "rates = [nan, inf]", "the least and the largest"),
        (PROVIDER + MODEL + f"rates = [1, 1{'0' * 400}]", "the least and the largest"),
        (PROVIDER + MODEL + 'rates = "1"', "the least and the largest"),
        (PROVIDER + MODEL + "longest_segment = 10", "from 50 to 100000"),
        (PROVIDER + MODEL + "longest_segment = true", "from 50 to 100000"),
        (PROVIDER + MODEL + "sample_rate = 96000", "from 8000 to 48000"),
        (PROVIDER + MODEL + "price_per_million_characters = -1", "can't be negative"),
        (PROVIDER + MODEL + 'response_format = "aac"', "known are wav, mp3, flac, opus"),
        (PROVIDER + MODEL + 'timeout = "soon"', "timeout, which has to be a duration"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(StartupError) as refused:
        load(path)
    assert told in refused.value.message
    assert refused.value.message.startswith(f"{path}:")
    assert "docs/speech-models.md" in refused.value.advice
    assert "secret" not in refused.value.message


def test_a_file_that_is_not_there_is_told_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(StartupError) as refused:
        load(tmp_path / "absent.toml")
    assert "ANTIPHON_SPEECH__MODELS_FILE" in refused.value.advice


async def test_a_reload_keeps_what_is_the_same_and_tells_what_is_not(tmp_path: Path) -> None:
    other = MODEL.replace('"a"', '"b"')
    path = written(tmp_path, PROVIDER + MODEL + other)
    catalog = load(path)
    kept = catalog.find("a")
    reload = CatalogReload("speech", catalog, lambda: load(path))
    # What the adapter alone knows is a change, too.
    written(tmp_path, PROVIDER + MODEL + other + 'response_format = "mp3"\n')
    with capture_logs() as logs:
        await reload()
    assert [(line["service"], line["added"], line["removed"], line["changed"]) for line in logs] == [
        ("speech", [], [], ["b"])
    ]
    assert catalog.find("a") is kept


async def test_the_doctor_tells_what_is_ready_and_asks_nobody_who_need_not_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def found(**speech: Any) -> list[Finding]:
        settings = Settings(speech=SpeechSettings(**speech))
        return [finding async for finding in speech_models_found(settings, {})]

    monkeypatch.setattr(adapter, "find_spec", lambda _: object())
    (finding,) = await found()
    assert (finding.verdict, finding.detail) == (Verdict.GOOD, "ready: espeak-ng, gtts")
    (finding,) = await found(default_model="x")
    assert finding.verdict is Verdict.BAD
    monkeypatch.setattr(adapter, "find_spec", lambda _: None)
    (finding,) = await found(gtts=False)
    assert (finding.verdict, finding.detail) == (Verdict.BAD, "none is ready")
    catalog, provider = await found(default_model="gtts", gtts_url="http://127.0.0.1:9")
    assert (catalog.verdict, provider.verdict) == (Verdict.NOTE, Verdict.BAD)
    assert "127.0.0.1:9 can't be asked" in provider.detail


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_can_be_used_as_it_is(path: Path) -> None:
    catalog = load(path, installed=False, gtts=False)
    assert catalog.default.ready
    assert f"(speech-models/{path.name})" in PAGE


def test_what_the_documentation_says_of_the_file_is_so() -> None:
    assert [path.stem for path in EXAMPLES] == ["kokoro-fastapi", "localai"]
    keys = catalog_file._PROVIDER_KEYS | catalog_file._MODEL_KEYS | catalog_file._VOICE_KEYS
    known = keys | set(Protocol) | set(ResponseFormat) | set(catalog_file._GENDERS)
    assert {key for key in known if f"`{key}`" not in PAGE} == set()
    for block in re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        assert tomllib.loads(block)
