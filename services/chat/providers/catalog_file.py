"""The catalog's file: what may stand in it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.capabilities.metering.model import Unit
from services.capabilities.upstream.amounts import duration, price
from services.capabilities.upstream.catalog_tables import Reading, Table, listed_models, named_tables
from services.chat.generation.families import family_of
from services.chat.generation.tokens import FAMILIES
from services.chat.model import Capability
from services.chat.providers.amounts import PRICED

_MOST_CONTEXT_TOKENS = 2**31 - 1
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
    reading = Reading(path, setting="ANTIPHON_CHAT__MODELS_FILE", page="docs/models.md")
    whole = reading.whole
    whole.only(("providers", "models"))
    providers = {name: _provider(name, table) for name, table in named_tables(whole, "providers", "provider")}
    found = [(_model(table, name, providers), table) for name, table in listed_models(whole, taken)]
    names = {model.name for model, _ in found}
    for model, table in found:
        _check_fallbacks(table, model, names)
    reading.check()
    return CatalogFile(providers, tuple(model for model, _ in found))


def _provider(name: str, table: Table | None) -> ProviderEntry:
    if table is None:
        return ProviderEntry(name, "", "", ChosenTimeouts())
    table.only(_PROVIDER_KEYS)
    return ProviderEntry(name, table.address("base_url"), table.variable("api_key_env"), _timeouts(table))


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
    family = table.text("family", family_of(upstream))
    if family not in FAMILIES:
        table.wrong(f"has the family {family!r}; known are {', '.join(FAMILIES)}", "family")
    own, inherited = _timeouts(table), ChosenTimeouts()
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


def _capabilities(table: Table) -> frozenset[Capability]:
    known = frozenset(Capability)
    found = table.texts("capabilities")
    for index, text in found:
        if text not in known:
            table.wrong(
                f"has the capability {text!r}; known are {', '.join(Capability)}", "capabilities", index
            )
    return frozenset(Capability(text) for _, text in found if text in known)


def _prices(table: Table) -> dict[Unit, int]:
    prices = table.below("prices", f"the price list of {table.about}")
    prices.only(PRICED)
    made = ((unit, prices.made(key, price)) for key, unit in PRICED.items())
    return {unit: amount for unit, amount in made if amount is not None}


def _check_fallbacks(table: Table, model: ModelEntry, names: set[str]) -> None:
    seen: set[str] = set()
    for index, name in enumerate(model.fallbacks):
        if name == model.name:
            table.wrong("names itself as its fallback", "fallbacks", index)
        elif name not in names:
            table.wrong(f"names the fallback {name!r}, which the file does not have", "fallbacks", index)
        elif name in seen:
            table.wrong(f"names the fallback {name!r} twice", "fallbacks", index)
        seen.add(name)
