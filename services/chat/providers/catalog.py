"""The catalog: which models there are, from a TOML file, and `echo`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from services.capabilities.upstream.catalogs import ModelCatalog
from services.capabilities.upstream.keys import key_of, normalized
from services.chat.errors import ModelNotFound
from services.chat.generation.families import GENERIC
from services.chat.ports import CatalogModel, Provider
from services.chat.providers.catalog_file import ChosenTimeouts, ProviderEntry, read_catalog_file
from services.settings import ChatSettings

ECHO = "echo"
_BUILT_IN = Path(__file__).with_name("models.toml")
_UNCHOSEN = ChosenTimeouts()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a provider's models are called, with which key, and how long is waited. `missing` names what the operator has to set;
    empty when nothing."""

    name: str
    base_url: str
    key: str | None
    missing: str
    timeouts: ChosenTimeouts = _UNCHOSEN


# Makes the adapter of a model: endpoint, the catalog's name.
MakeProvider = Callable[[Endpoint, str], Provider]


class FileCatalog(ModelCatalog[CatalogModel]):
    """Keeps Catalog's promises: the models in the file's order, `echo` last, which is always ready. Another one can take its place at
    any time."""

    def __init__(
        self, models: Mapping[str, CatalogModel], endpoints: Mapping[str, Endpoint] | None = None
    ) -> None:
        super().__init__(models, endpoints or {}, ModelNotFound)


def load_catalog(
    path: Path | None,
    base_urls: Mapping[str, str],
    keys: Mapping[str, str],
    make: MakeProvider,
    echo: Provider,
    first_token_timeout: float | None = None,
) -> FileCatalog:
    """Read the catalog in `path`, or the built-in one.

    `base_urls` replaces the addresses of providers by their names, `keys` has what `api_key_env` names, and `first_token_timeout` is that
    of models for which the file has none. Raises StartupError that says what is wrong with the file, and on which lines.
    """
    content = read_catalog_file(path or _BUILT_IN, {ECHO})
    providers = {
        name: _endpoint(entry, base_urls.get(name), keys) for name, entry in content.providers.items()
    }
    models: dict[str, CatalogModel] = {}
    endpoints: dict[str, Endpoint] = {}
    for entry in content.models:
        endpoint = replace(providers[entry.provider], timeouts=entry.timeouts)
        endpoints[entry.name] = endpoint
        models[entry.name] = CatalogModel(
            name=entry.name,
            provider_name=entry.provider,
            upstream=entry.upstream,
            display_name=entry.display_name,
            description=entry.description,
            context_tokens=entry.context_tokens,
            capabilities=entry.capabilities,
            not_ready_reason=endpoint.missing,
            provider=make(endpoint, entry.name),
            endpoint=normalized(endpoint.base_url),
            fallbacks=entry.fallbacks,
            prices=MappingProxyType(dict(entry.prices)),
            family=entry.family,
            total_timeout=entry.timeouts.total,
            first_token_timeout=entry.timeouts.first_token or first_token_timeout,
        )
    models[ECHO] = echo_model(echo)
    return FileCatalog(models, endpoints)


def configured_catalog(
    chat: ChatSettings, environ: Mapping[str, str], make: MakeProvider, echo: Provider
) -> FileCatalog:
    """The catalog that the settings ask for. `environ` has the keys that it names, those of the settings excepted. Raises StartupError."""
    keys = dict(environ)
    for name, value in (("OPENAI_API_KEY", chat.openai_api_key), ("GITHUB_TOKEN", chat.github_token)):
        if value is not None:
            keys[name] = value.get_secret_value()
    base_urls = {"openai": chat.openai_base_url} if chat.openai_base_url else {}
    return load_catalog(chat.models_file, base_urls, keys, make, echo, chat.first_token_timeout)


def echo_model(provider: Provider) -> CatalogModel:
    """The entry of the built-in provider."""
    return CatalogModel(
        name=ECHO,
        provider_name=ECHO,
        upstream=ECHO,
        display_name="Echo",
        description="Built in and offline; no language model. It answers with what it was sent, so that all else can be tried.",
        context_tokens=0,
        capabilities=frozenset(),
        not_ready_reason="",
        provider=provider,
        family=GENERIC,
    )


def _endpoint(entry: ProviderEntry, elsewhere: str | None, keys: Mapping[str, str]) -> Endpoint:
    # Whoever points a provider elsewhere, to a server of their own for example, may need no key there.
    key = key_of(entry.api_key_env, keys, needed=elsewhere is None)
    return Endpoint(entry.name, elsewhere or entry.base_url, key.value, key.missing)
