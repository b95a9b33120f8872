"""The catalog: which models there are, from a TOML file, and `procedural`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from services.capabilities.upstream.catalogs import ModelCatalog
from services.capabilities.upstream.keys import key_of
from services.image.errors import ModelNotFound
from services.image.model import Size
from services.image.ports import CatalogModel, ImageProvider
from services.image.providers.catalog_file import (
    POLLINATIONS,
    ChosenTimeouts,
    ModelEntry,
    Protocol,
    ProviderEntry,
    ResponseFormat,
    read_catalog_file,
)
from services.settings import Settings

PROCEDURAL = "procedural"
_BUILT_IN = Path(__file__).with_name("models.toml")
_ANONYMOUS = frozenset({Size(256, 256), Size(512, 512)})
_PROCEDURAL_SIZES = (
    Size(512, 512),
    Size(256, 256),
    Size(768, 768),
    Size(1024, 1024),
    Size(1024, 768),
    Size(768, 1024),
)


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
    image_origins: tuple[str, ...]
    response_format: ResponseFormat
    quality: str
    timeouts: ChosenTimeouts


# Makes the adapter of a model.
MakeProvider = Callable[[Endpoint], ImageProvider]


class FileCatalog(ModelCatalog[CatalogModel]):
    """Keeps Catalog's promises: the models in the file's order, `procedural` last, which is always ready. Another one can take its place
    at any time."""

    def __init__(self, models: Mapping[str, CatalogModel], endpoints: Mapping[str, Endpoint]) -> None:
        super().__init__(models, endpoints, ModelNotFound)


def load_catalog(
    path: Path | None,
    base_urls: Mapping[str, str],
    keys: Mapping[str, str],
    make: MakeProvider,
    procedural: ImageProvider,
    timeout: float,
) -> FileCatalog:
    """Read the catalog in `path`, or the built-in one.

    `base_urls` replaces the addresses of providers by their names, `keys` has what `api_key_env` names, and `timeout` is that of models for
    which the file has none. Raises StartupError that says what is wrong with the file, and on which lines.
    """
    content = read_catalog_file(path or _BUILT_IN, {PROCEDURAL})
    models: dict[str, CatalogModel] = {}
    endpoints: dict[str, Endpoint] = {}
    for entry in content.models:
        endpoint = _endpoint(entry, content.providers[entry.provider], base_urls, keys)
        endpoints[entry.name] = endpoint
        models[entry.name] = CatalogModel(
            name=entry.name,
            provider_name=entry.provider,
            upstream=entry.upstream,
            display_name=entry.display_name,
            description=entry.description,
            provider=make(endpoint),
            not_ready_reason=endpoint.missing,
            sizes=entry.sizes,
            anonymous_sizes=tuple(size for size in entry.sizes if size in _ANONYMOUS),
            styles=MappingProxyType(dict(entry.styles)),
            maximum_count=entry.maximum_count,
            takes_seed=entry.takes_seed,
            takes_negative_prompt=entry.takes_negative_prompt,
            prices=MappingProxyType(dict(entry.prices)),
            timeout=entry.timeouts.total or timeout,
        )
    models[PROCEDURAL] = procedural_model(procedural, content.styles, timeout)
    return FileCatalog(models, endpoints)


def configured_catalog(
    settings: Settings, environ: Mapping[str, str], make: MakeProvider, procedural: ImageProvider
) -> FileCatalog:
    """The catalog that the settings ask for. `environ` has the keys that it names, those of the settings excepted. Raises StartupError."""
    chat, image = settings.chat, settings.image
    keys = dict(environ)
    for name, value in (
        ("OPENAI_API_KEY", chat.openai_api_key),
        ("GITHUB_TOKEN", chat.github_token),
        ("HF_TOKEN", image.hf_token),
    ):
        if value is not None:
            keys[name] = value.get_secret_value()
    set_ = {"openai": chat.openai_base_url, POLLINATIONS: image.pollinations_url}
    base_urls = {name: address for name, address in set_.items() if address}
    return load_catalog(image.models_file, base_urls, keys, make, procedural, image.timeout)


def procedural_model(provider: ImageProvider, styles: Mapping[str, str], timeout: float) -> CatalogModel:
    """The entry of the built-in provider."""
    return CatalogModel(
        name=PROCEDURAL,
        provider_name=PROCEDURAL,
        upstream=PROCEDURAL,
        display_name="Procedural",
        description="Built in and offline; no model. It draws patterns from the words of the prompt and the seed, "
        "and does not depict what the prompt says, so that all else can be tried.",
        provider=provider,
        not_ready_reason="",
        sizes=_PROCEDURAL_SIZES,
        anonymous_sizes=tuple(size for size in _PROCEDURAL_SIZES if size in _ANONYMOUS),
        styles=MappingProxyType(dict(styles)),
        maximum_count=10,
        takes_seed=True,
        takes_negative_prompt=False,
        prices=MappingProxyType({"": 0}),
        timeout=timeout,
    )


def _endpoint(
    entry: ModelEntry, provider: ProviderEntry, base_urls: Mapping[str, str], keys: Mapping[str, str]
) -> Endpoint:
    # A key is needed wherever the provider is: what OPENAI_BASE_URL names for Chat may well make no images.
    key = key_of(provider.api_key_env, keys)
    base_url = base_urls.get(provider.name) or provider.base_url
    missing = key.missing
    if not base_url:
        missing = "set POLLINATIONS_API_URL=https://image.pollinations.ai/prompt"
    elif "@" in urlsplit(base_url).netloc:
        missing = "write its address without a name and a password in it"
    return Endpoint(
        model=entry.name,
        provider=provider.name,
        protocol=provider.protocol,
        base_url=base_url,
        key=key.value,
        missing=missing,
        image_origins=provider.image_origins,
        response_format=entry.response_format,
        quality=entry.quality,
        timeouts=entry.timeouts,
    )
