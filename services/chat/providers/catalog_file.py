"""The catalog's file: what may stand in it, and what is wrong with it, line by line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from services.capabilities.metering.model import Unit
from services.chat.generation.families import family_of
from services.chat.generation.tokens import FAMILIES
from services.chat.model import Capability
from services.chat.providers.amounts import PRICED, duration, price
from services.chat.providers.lines import Lines, NotToml, Step, parse
from services.kernel.startup import StartupError

T = TypeVar("T")

_LARGEST_FILE = 1024 * 1024
_MOST_COMPLAINTS = 10
_MOST_CONTEXT_TOKENS = 2**31 - 1
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_TIMEOUT_KEYS = ("connect_timeout", "first_token_timeout", "idle_timeout", "total_timeout")
_PROVIDER_KEYS = {"base_url", "api_key_env", *_TIMEOUT_KEYS}
_MODEL_KEYS = {
    "name",
    "provider",
    "upstream",
    "display_name",
    "description",
    "context_tokens",
    "capabilities",
    "fallbacks",
    "prices",
    "family",
    *_TIMEOUT_KEYS,
}


@dataclass(frozen=True, slots=True)
class ChosenTimeouts:
    """The seconds that the file sets; None leaves it to the settings."""

    connect: float | None = None
    first_token: float | None = None
    idle: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    """A provider of the file."""

    name: str
    base_url: str
    api_key_env: str
    timeouts: ChosenTimeouts


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model of the file, with what follows from other entries filled in: its time-outs are its own, or those of its provider."""

    name: str
    provider: str
    upstream: str
    display_name: str
    description: str
    context_tokens: int
    capabilities: frozenset[Capability]
    fallbacks: tuple[str, ...]
    prices: Mapping[Unit, int]
    family: str
    timeouts: ChosenTimeouts


@dataclass(frozen=True, slots=True)
class CatalogFile:
    """What the file says, free of contradictions."""

    providers: Mapping[str, ProviderEntry]
    models: tuple[ModelEntry, ...]


def read_catalog_file(path: Path, taken: Iterable[str]) -> CatalogFile:
    """Read a file. `taken` are names that no model of it may have. Raises StartupError that tells each thing that is wrong, up to ten
    of them, with its line."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise StartupError(
            f"The catalog of models {path} can't be read: {error.strerror}.",
            "Correct ANTIPHON_CHAT__MODELS_FILE.",
        ) from None
    if len(data) > _LARGEST_FILE:
        raise StartupError(f"The catalog of models {path} is larger than 1 MiB.", "Correct the file.")
    try:
        text = data.decode("utf-8-sig")
        content = parse(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused([f"{path}:{line}: the text is not UTF-8."]) from None
    except NotToml as error:
        raise _refused([f"{path}:{error.line}: this is not TOML: {error.what}."]) from None
    reading = _Reading(text)
    found = _catalog(reading, content, set(taken))
    if reading.complaints:
        raise _refused([f"{path}:{line}: {what}." for line, what in sorted(reading.complaints)])
    return found


def _refused(complaints: list[str]) -> StartupError:
    shown, more = complaints[:_MOST_COMPLAINTS], len(complaints) - _MOST_COMPLAINTS
    if more > 0:
        shown.append(f"And {more} more.")
    return StartupError(
        "\n".join(shown), "Correct the catalog of models; docs/models.md tells what may stand in it."
    )


class _Reading:
    """The reading of one file. What is wrong is noted with its line, and something usable taken in its place, so that the rest is
    read, too."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.complaints: set[tuple[int, str]] = set()

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self._text)

    def wrong(self, path: tuple[Step, ...], what: str) -> None:
        """Note what is wrong with the thing at `path`."""
        self.complaints.add((self._lines.of(*path), what))


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the file, and how it is spoken of."""

    reading: _Reading
    about: str
    path: tuple[Step, ...]
    content: Mapping[str, Any] = field(default_factory=dict)

    def wrong(self, what: str, *steps: Step) -> None:
        self.reading.wrong((*self.path, *steps), f"{self.about} {what}" if self.about else what)

    def only(self, known: Iterable[str]) -> None:
        for key in self.content:
            if key not in known:
                self.wrong(f"has {key!r}; known are {', '.join(sorted(known))}", key)

    def table(self, key: str) -> Mapping[str, Any]:
        found = self.content.get(key, {})
        if isinstance(found, dict):
            return found
        self.wrong(f"{key} is no table" if not self.about else f"needs a table for {key}", key)
        return {}

    def text(self, key: str, default: str | None = None) -> str:
        value = self.content.get(key, default)
        if isinstance(value, str) and (value or default is not None):
            return value
        self.wrong(f"needs {key}, a text", key)
        return default or ""

    def texts(self, key: str) -> list[tuple[int, str]]:
        value = self.content.get(key, [])
        if isinstance(value, list) and all(isinstance(text, str) for text in value):
            return list(enumerate(value))
        self.wrong(f"needs a list of texts for {key}", key)
        return []

    def made(self, key: str, make: Callable[[object], T]) -> T | None:
        """What `make` makes of a value; None without one. Its ValueError says what the value has to be."""
        if key not in self.content:
            return None
        try:
            return make(self.content[key])
        except ValueError as error:
            self.wrong(f"is wrong in {key}, which {error}", key)
            return None

    def timeouts(self) -> ChosenTimeouts:
        return ChosenTimeouts(*(self.made(key, duration) for key in _TIMEOUT_KEYS))


def _catalog(reading: _Reading, content: Mapping[str, Any], taken: set[str]) -> CatalogFile:
    whole = _Table(reading, "", (), content)
    for key in content:
        if key not in ("providers", "models"):
            whole.wrong(f"the file has {key!r}; known are models, providers", key)
    providers = {name: _provider(reading, name, table) for name, table in whole.table("providers").items()}
    entries = content.get("models", [])
    if not isinstance(entries, list):
        whole.wrong("each model has to be written under [[models]]", "models")
        entries = []
    models: list[ModelEntry] = []
    tables: list[_Table] = []
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            reading.wrong(("models", index), f"model {index + 1} is no table")
            continue
        table = _Table(reading, f"model {index + 1}", ("models", index), entry)
        name = table.text("name")
        if name:
            table = _Table(reading, f"model {name!r}", table.path, entry)
            if name in taken:
                reading.wrong((*table.path, "name"), f"the name {name!r} is taken already")
            taken.add(name)
        models.append(_model(table, name, providers))
        tables.append(table)
    names = {model.name for model in models}
    for model, table in zip(models, tables, strict=True):
        _check_fallbacks(table, model, names)
    return CatalogFile(providers, tuple(models))


def _provider(reading: _Reading, name: str, content: Any) -> ProviderEntry:
    table = _Table(
        reading, f"provider {name!r}", ("providers", name), content if isinstance(content, dict) else {}
    )
    if not isinstance(content, dict):
        table.wrong("is no table")
        return ProviderEntry(name, "", "", ChosenTimeouts())
    table.only(_PROVIDER_KEYS)
    base_url = table.text("base_url")
    if base_url and not _is_address(base_url):
        table.wrong(
            "needs a base_url that is an address: it begins with http:// or https://, and is without a query",
            "base_url",
        )
    variable = table.text("api_key_env", "")
    if variable and not _VARIABLE.fullmatch(variable):
        # It is not repeated: some write the key itself, which nobody else is to read.
        table.wrong("needs an api_key_env that is a variable's name such as OPENAI_API_KEY", "api_key_env")
    return ProviderEntry(name, base_url, variable, table.timeouts())


def _model(table: _Table, name: str, providers: Mapping[str, ProviderEntry]) -> ModelEntry:
    table.only(_MODEL_KEYS)
    provider = table.text("provider")
    if provider and provider not in providers:
        table.wrong(f"names the provider {provider!r}, which the file does not have", "provider")
    upstream = table.text("upstream", name)
    if not upstream and name:
        table.wrong("has an empty upstream; leave it out, or name the model as its provider does", "upstream")
    family = table.text("family", family_of(upstream))
    if family not in FAMILIES:
        table.wrong(f"has the family {family!r}; known are {', '.join(FAMILIES)}", "family")
    own, inherited = table.timeouts(), ChosenTimeouts()
    if provider in providers:
        inherited = providers[provider].timeouts
    return ModelEntry(
        name=name,
        provider=provider,
        upstream=upstream,
        display_name=table.text("display_name", name),
        description=table.text("description", ""),
        context_tokens=table.made("context_tokens", _context_tokens) or 0,
        capabilities=_capabilities(table),
        fallbacks=tuple(text for _, text in table.texts("fallbacks")),
        prices=_prices(table),
        family=family,
        timeouts=ChosenTimeouts(
            own.connect or inherited.connect,
            own.first_token or inherited.first_token,
            own.idle or inherited.idle,
            own.total or inherited.total,
        ),
    )


def _context_tokens(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MOST_CONTEXT_TOKENS:
        raise ValueError("has to be a whole number, 0 when unknown")
    return value


def _capabilities(table: _Table) -> frozenset[Capability]:
    known = frozenset(Capability)
    found = table.texts("capabilities")
    for index, text in found:
        if text not in known:
            table.wrong(
                f"has the capability {text!r}; known are {', '.join(Capability)}", "capabilities", index
            )
    return frozenset(Capability(text) for _, text in found if text in known)


def _prices(table: _Table) -> dict[Unit, int]:
    prices = _Table(
        table.reading, f"the price list of {table.about}", (*table.path, "prices"), table.table("prices")
    )
    prices.only(PRICED)
    made = ((unit, prices.made(key, price)) for key, unit in PRICED.items())
    return {unit: amount for unit, amount in made if amount is not None}


def _check_fallbacks(table: _Table, model: ModelEntry, names: set[str]) -> None:
    seen: set[str] = set()
    for index, name in enumerate(model.fallbacks):
        if name == model.name:
            table.wrong("names itself as its fallback", "fallbacks", index)
        elif name not in names:
            table.wrong(f"names the fallback {name!r}, which the file does not have", "fallbacks", index)
        elif name in seen:
            table.wrong(f"names the fallback {name!r} twice", "fallbacks", index)
        seen.add(name)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - reading it judges it
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment
    )
