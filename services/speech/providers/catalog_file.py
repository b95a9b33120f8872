"""The catalog's file: what may stand in it, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from services.capabilities.upstream.amounts import duration, price
from services.capabilities.upstream.catalog_tables import Reading, Table, listed_models, named_tables
from services.speech.model import Gender, Voice

E = TypeVar("E", bound=StrEnum)

_LONGEST_VOICE_NAME = 100
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_LONGEST_LANGUAGE = 10
_GENDERS = {"male": Gender.MALE, "female": Gender.FEMALE, "neutral": Gender.NEUTRAL}
_RATES = (0.25, 4.0)
_SEGMENTS, _LONGEST_SEGMENT = (50, 100_000), 4096
_SAMPLE_RATES, _SAMPLE_RATE = (8000, 48_000), 24_000
_TIMEOUT_KEYS = ("connect_timeout", "timeout")
_PROVIDER_KEYS = {"protocol", "base_url", "api_key_env", *_TIMEOUT_KEYS}
_VOICE_KEYS = {"name", "display_name", "language", "gender"}
_MODEL_KEYS = {
    "name",
    "provider",
    "upstream",
    "display_name",
    "description",
    "voices",
    "rates",
    "longest_segment",
    "price_per_million_characters",
    "response_format",
    "sample_rate",
    *_TIMEOUT_KEYS,
}


class Protocol(StrEnum):
    """What a provider speaks."""

    OPENAI = "openai"


class ResponseFormat(StrEnum):
    """The format in which audio is asked for."""

    WAV = "wav"
    MP3 = "mp3"
    FLAC = "flac"
    OPUS = "opus"


@dataclass(frozen=True, slots=True)
class ChosenTimeouts:
    """The seconds that the file sets; None leaves it to the settings."""

    connect: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """A provider of the file."""

    name: str
    protocol: Protocol
    base_url: str
    api_key_env: str
    timeouts: ChosenTimeouts


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model of the file, with what follows from other entries filled in. `price` is nano-USD for a million characters, None where it is not
    known; the first of `voices` is the default one."""

    name: str
    provider: str
    upstream: str
    display_name: str
    description: str
    voices: tuple[Voice, ...]
    rates: tuple[float, float]
    longest_segment: int
    price: int | None
    response_format: ResponseFormat
    timeouts: ChosenTimeouts


@dataclass(frozen=True, slots=True)
class CatalogFile:
    """What the file says, free of contradictions."""

    providers: Mapping[str, ProviderEntry]
    models: tuple[ModelEntry, ...]


def read_catalog_file(path: Path, taken: Iterable[str]) -> CatalogFile:
    """Read a file. `taken` are names that no model of it may have. Raises StartupError that tells each thing that is wrong, up to ten
    of them, with its line."""
    reading = Reading(path, setting="ANTIPHON_SPEECH__MODELS_FILE", page="docs/speech-models.md")
    whole = reading.whole
    whole.only(("providers", "models"))
    providers = {name: _provider(name, table) for name, table in named_tables(whole, "providers", "provider")}
    models = tuple(_model(table, name, providers) for name, table in listed_models(whole, taken))
    reading.check()
    return CatalogFile(providers, models)


def _provider(name: str, table: Table | None) -> ProviderEntry:
    if table is None:
        return ProviderEntry(name, Protocol.OPENAI, "", "", ChosenTimeouts())
    table.only(_PROVIDER_KEYS)
    return ProviderEntry(
        name=name,
        protocol=_one_of(table, "protocol", Protocol, None),
        base_url=table.address("base_url"),
        api_key_env=table.variable("api_key_env"),
        timeouts=_timeouts(table),
    )


def _timeouts(table: Table) -> ChosenTimeouts:
    return ChosenTimeouts(*(table.made(key, duration) for key in _TIMEOUT_KEYS))


def _model(table: Table, name: str, providers: Mapping[str, ProviderEntry]) -> ModelEntry:
    table.only(_MODEL_KEYS)
    provider = table.text("provider")
    if provider and provider not in providers:
        table.wrong(f"names the provider {provider!r}, which the file does not have", "provider")
    upstream = table.text("upstream", name)
    if not upstream and name:
        table.wrong("has an empty upstream; leave it out, or name the model as its provider does", "upstream")
    own = _timeouts(table)
    inherited = providers[provider].timeouts if provider in providers else ChosenTimeouts()
    return ModelEntry(
        name=name,
        provider=provider,
        upstream=upstream,
        display_name=table.text("display_name", name),
        description=table.text("description", ""),
        voices=_voices(table, table.made("sample_rate", _sample_rate) or _SAMPLE_RATE),
        rates=table.made("rates", _rates) or _RATES,
        longest_segment=table.made("longest_segment", _segment) or _LONGEST_SEGMENT,
        price=table.made("price_per_million_characters", price),
        response_format=_one_of(table, "response_format", ResponseFormat, ResponseFormat.WAV),
        timeouts=ChosenTimeouts(own.connect or inherited.connect, own.total or inherited.total),
    )


def _voices(table: Table, sample_rate: int) -> tuple[Voice, ...]:
    found, voices = table.content.get("voices"), dict[str, Voice]()
    if not isinstance(found, list) or not found:
        table.wrong("needs voices, a list of names or tables, the default one first", "voices")
        return ()
    for index, each in enumerate(found):
        content = {"name": each} if isinstance(each, str) else each
        if not isinstance(content, dict):
            table.wrong("has a voice that is neither a name nor a table", "voices", index)
            continue
        about = f"voice {index + 1} of {table.about}"
        voice = _voice(Table(table.reading, about, (*table.path, "voices", index), content), sample_rate)
        if voice.name in voices:
            table.wrong(f"has the voice {voice.name!r} twice", "voices", index)
        voices[voice.name] = voice
    return tuple(voices.values())


def _voice(table: Table, sample_rate: int) -> Voice:
    table.only(_VOICE_KEYS)
    name, language, gender = table.text("name"), table.text("language", ""), table.text("gender", "")
    if len(name) > _LONGEST_VOICE_NAME:
        table.wrong(f"has a name of more than {_LONGEST_VOICE_NAME} characters")
    if language and not (len(language) <= _LONGEST_LANGUAGE and _LANGUAGE.fullmatch(language)):
        table.wrong(f"has the language {language!r}; a BCP 47 tag is wanted, such as es or pt-BR")
    if gender and gender not in _GENDERS:
        table.wrong(f"has the gender {gender!r}; known are {', '.join(_GENDERS)}")
    return Voice(
        name=name,
        display_name=table.text("display_name", name[:1].upper() + name[1:]),
        language=language,
        sample_rate=sample_rate,
        upstream=name,
        gender=_GENDERS.get(gender, Gender.UNKNOWN),
    )


def _rates(value: object) -> tuple[float, float]:
    numbers = value if isinstance(value, list) else []
    if len(numbers) == 2 and all(type(one) is int or isinstance(one, Decimal) for one in numbers):
        # By way of decimals, no number of the file is too large for it.
        least, largest = (float(Decimal(one)) for one in numbers)
        if 0 < least <= 1 <= largest <= _RATES[1]:
            return least, largest
    raise ValueError("has to be the least and the largest rate, such as [0.25, 4.0]; 1 is between them")


def _segment(value: object) -> int:
    return _whole(value, *_SEGMENTS)


def _sample_rate(value: object) -> int:
    return _whole(value, *_SAMPLE_RATES)


def _whole(value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"has to be a whole number from {least} to {most}")
    return value


def _one_of(table: Table, key: str, kind: type[E], default: E | None) -> E:
    text = table.text(key, None if default is None else default.value)
    if text in frozenset(kind):
        return kind(text)
    if text or default is not None:
        table.wrong(f"has the {key} {text!r}; known are {', '.join(kind)}", key)
    return next(iter(kind))
