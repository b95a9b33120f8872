"""The catalog's file: what may stand in it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from services.capabilities.upstream.amounts import duration, price
from services.capabilities.upstream.catalog_tables import (
    Reading,
    Table,
    is_address,
    listed_models,
    named_tables,
)
from services.image.model import Size

E = TypeVar("E", bound=StrEnum)

# Its address is a setting, so that prompts are sent there only when somebody has asked for it.
POLLINATIONS = "pollinations"
MOST_IMAGES = 10
_LONGEST_STYLE_NAME = 64
_TIMEOUT_KEYS = ("connect_timeout", "timeout")
_PROVIDER_KEYS = {"protocol", "base_url", "api_key_env", "image_origins", *_TIMEOUT_KEYS}
_OPENAI_KEYS = {"response_format", "quality"}
_MODEL_KEYS = {
    "name",
    "provider",
    "upstream",
    "display_name",
    "description",
    "sizes",
    "styles",
    "maximum_count",
    "seed",
    "negative_prompt",
    "prices",
    *_OPENAI_KEYS,
    *_TIMEOUT_KEYS,
}


class Protocol(StrEnum):
    """What a provider speaks."""

    OPENAI = "openai"
    POLLINATIONS = "pollinations"
    HUGGINGFACE = "huggingface"


class ResponseFormat(StrEnum):
    """How images are asked for; `none` for models that refuse to be told."""

    B64_JSON = "b64_json"
    URL = "url"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ChosenTimeouts:
    """The seconds that the file sets; None leaves it to the settings."""

    connect: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """A provider of the file. `base_url` is empty where a setting has it."""

    name: str
    protocol: Protocol
    base_url: str
    api_key_env: str
    image_origins: tuple[str, ...]
    timeouts: ChosenTimeouts


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model of the file, with what follows from other entries filled in. `prices` are nano-USD an image by size, `""` for all others."""

    name: str
    provider: str
    upstream: str
    display_name: str
    description: str
    sizes: tuple[Size, ...]
    styles: Mapping[str, str]
    maximum_count: int
    takes_seed: bool
    takes_negative_prompt: bool
    prices: Mapping[str, int]
    response_format: ResponseFormat
    quality: str
    timeouts: ChosenTimeouts


@dataclass(frozen=True, slots=True)
class CatalogFile:
    """What the file says, free of contradictions."""

    styles: Mapping[str, str]
    providers: Mapping[str, ProviderEntry]
    models: tuple[ModelEntry, ...]


def read_catalog_file(path: Path, taken: Iterable[str]) -> CatalogFile:
    """Read a file. `taken` are names that no model of it may have. Raises StartupError that tells each thing that is wrong, up to ten
    of them, with its line."""
    reading = Reading(path, setting="ANTIPHON_IMAGE__MODELS_FILE", page="docs/image-models.md")
    whole = reading.whole
    whole.only(("styles", "providers", "models"))
    styles = _styles(whole)
    providers = {name: _provider(name, table) for name, table in named_tables(whole, "providers", "provider")}
    models = tuple(_model(table, name, providers, styles) for name, table in listed_models(whole, taken))
    reading.check()
    return CatalogFile(styles, providers, models)


def _styles(whole: Table) -> dict[str, str]:
    table = whole.below("styles", "the table of styles")
    for name in table.content:
        if not 1 <= len(name) <= _LONGEST_STYLE_NAME:
            table.wrong(f"has a name that is empty, or longer than {_LONGEST_STYLE_NAME} characters", name)
    return {name: table.text(name) for name in table.content}


def _provider(name: str, table: Table | None) -> ProviderEntry:
    if table is None:
        return ProviderEntry(name, Protocol.OPENAI, "", "", (), ChosenTimeouts())
    table.only(_PROVIDER_KEYS)
    return ProviderEntry(
        name=name,
        protocol=_one_of(table, "protocol", Protocol, None),
        base_url=table.address("base_url", "" if name == POLLINATIONS else None),
        api_key_env=table.variable("api_key_env"),
        image_origins=_origins(table),
        timeouts=_timeouts(table),
    )


def _origins(table: Table) -> tuple[str, ...]:
    found = table.texts("image_origins")
    for index, text in found:
        if not is_address(text) or urlsplit(text).path not in ("", "/") or "@" in text:
            table.wrong(
                "needs image_origins that are addresses without a path, such as https://images.example.com",
                "image_origins",
                index,
            )
    return tuple(text for _, text in found)


def _timeouts(table: Table) -> ChosenTimeouts:
    return ChosenTimeouts(*(table.made(key, duration) for key in _TIMEOUT_KEYS))


def _model(
    table: Table, name: str, providers: Mapping[str, ProviderEntry], styles: Mapping[str, str]
) -> ModelEntry:
    table.only(_MODEL_KEYS)
    provider = table.text("provider")
    if provider and provider not in providers:
        table.wrong(f"names the provider {provider!r}, which the file does not have", "provider")
    upstream = table.text("upstream", name)
    if not upstream and name:
        table.wrong("has an empty upstream; leave it out, or name the model as its provider does", "upstream")
    own, inherited, sizes = _timeouts(table), ChosenTimeouts(), _sizes(table)
    if provider in providers:
        inherited = providers[provider].timeouts
        for key in sorted(_OPENAI_KEYS & table.content.keys()):
            if providers[provider].protocol is not Protocol.OPENAI:
                table.wrong(f"has {key}, which only the protocol openai knows", key)
    return ModelEntry(
        name=name,
        provider=provider,
        upstream=upstream,
        display_name=table.text("display_name", name),
        description=table.text("description", ""),
        sizes=sizes,
        styles=_chosen(table, styles),
        maximum_count=table.made("maximum_count", _count) or 1,
        takes_seed=table.made("seed", _truth) or False,
        takes_negative_prompt=table.made("negative_prompt", _truth) or False,
        prices=_prices(table, sizes),
        response_format=_one_of(table, "response_format", ResponseFormat, ResponseFormat.B64_JSON),
        quality=table.text("quality", ""),
        timeouts=ChosenTimeouts(own.connect or inherited.connect, own.total or inherited.total),
    )


def _sizes(table: Table) -> tuple[Size, ...]:
    sizes: list[Size] = []
    found = table.texts("sizes")
    for index, text in found:
        try:
            size = Size.parse(text)
        except ValueError:
            table.wrong(f"has the size {text!r}; a size is written as 1024x768", "sizes", index)
            continue
        if size in sizes:
            table.wrong(f"has the size {text} twice", "sizes", index)
        sizes.append(size)
    if not found and isinstance(table.content.get("sizes", []), list):
        table.wrong('needs sizes, a list such as ["1024x1024"], the default one first', "sizes")
    return tuple(sizes)


def _chosen(table: Table, styles: Mapping[str, str]) -> dict[str, str]:
    if "styles" not in table.content:
        return dict(styles)
    found = table.texts("styles")
    for index, name in found:
        if name not in styles:
            table.wrong(f"has the style {name!r}, which [styles] does not have", "styles", index)
    return {name: styles[name] for _, name in found if name in styles}


def _prices(table: Table, sizes: Iterable[Size]) -> dict[str, int]:
    prices = table.below("prices", f"the price list of {table.about}")
    prices.only(("default", *map(str, sizes)))
    made = ((key, prices.made(key, price)) for key in prices.content)
    return {"" if key == "default" else key: amount for key, amount in made if amount is not None}


def _one_of(table: Table, key: str, kind: type[E], default: E | None) -> E:
    text = table.text(key, None if default is None else default.value)
    if text in frozenset(kind):
        return kind(text)
    if text or default is not None:
        table.wrong(f"has the {key} {text!r}; known are {', '.join(kind)}", key)
    return next(iter(kind))


def _count(value: object) -> int:
    if type(value) is not int or not 1 <= value <= MOST_IMAGES:
        raise ValueError(f"has to be a whole number from 1 to {MOST_IMAGES}")
    return value


def _truth(value: object) -> bool:
    if type(value) is not bool:
        raise ValueError("has to be true or false")
    return value
