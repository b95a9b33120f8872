"""The catalog: which models there are, from a TOML file, and `echo`."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from services.chat.errors import ModelNotFound, ModelNotReady
from services.chat.model import Capability
from services.chat.ports import CatalogModel, Provider
from services.kernel.startup import StartupError

ECHO = "echo"
_BUILT_IN = Path(__file__).with_name("models.toml")
_MOST_CONTEXT_TOKENS = 2**31 - 1
_PROVIDER_KEYS = {"base_url", "api_key_env"}
_MODEL_KEYS = {
    "name",
    "provider",
    "upstream",
    "display_name",
    "description",
    "context_tokens",
    "capabilities",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a provider's models are called, and with which key. `missing` names what the operator has to set; empty when nothing."""

    name: str
    base_url: str
    key: str | None
    missing: str


# Makes the adapter of a model: endpoint, the catalog's name.
MakeProvider = Callable[[Endpoint, str], Provider]


class FileCatalog:
    """Keeps Catalog's promises: the models in the file's order, `echo` last."""

    def __init__(self, models: Mapping[str, CatalogModel]) -> None:
        self._models = MappingProxyType(dict(models))

    @property
    def models(self) -> Mapping[str, CatalogModel]:
        """As the port says."""
        return self._models

    @property
    def default(self) -> CatalogModel:
        """As the port says; there always is one, since `echo` is ready."""
        return next(model for model in self._models.values() if model.ready)

    def known(self, name: str) -> CatalogModel:
        """As the port says."""
        model = self._models.get(name)
        if model is None:
            raise ModelNotFound(name)
        return model

    def find(self, name: str) -> CatalogModel:
        """As the port says."""
        model = self.known(name) if name else self.default
        if not model.ready:
            raise ModelNotReady(model.name, model.not_ready_reason)
        return model


def load_catalog(
    path: Path | None,
    base_urls: Mapping[str, str],
    keys: Mapping[str, str],
    make: MakeProvider,
    echo: Provider,
) -> FileCatalog:
    """Read the catalog in `path`, or the built-in one.

    `base_urls` replaces the addresses of providers by their names, `keys` has what `api_key_env` names. Raises StartupError
    that says what is wrong with the file.
    """
    source = path or _BUILT_IN
    try:
        content = tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise StartupError(
            f"The catalog of models {source} can't be read: {error.strerror}.",
            "Correct ANTIPHON_CHAT__MODELS_FILE.",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StartupError(
            f"The catalog of models {source} is not TOML: {error}.", "Correct the file."
        ) from None
    reading = _Reading(source, base_urls, keys)
    endpoints = {
        name: reading.endpoint(name, table) for name, table in reading.table(content, "providers").items()
    }
    reading.only(content, {"providers", "models"}, "the file")
    models: dict[str, CatalogModel] = {}
    for number, entry in enumerate(reading.entries(content, "models"), 1):
        model = reading.model(entry, f"model {number}", endpoints, make)
        if model.name in models or model.name == ECHO:
            raise reading.wrong(f"the name {model.name!r} is taken already")
        models[model.name] = model
    models[ECHO] = echo_model(echo)
    return FileCatalog(models)


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
    )


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - reading it judges it
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment
    )


class _Reading:
    """The reading of one file; every complaint names it."""

    def __init__(self, source: Path, base_urls: Mapping[str, str], keys: Mapping[str, str]) -> None:
        self._source = source
        self._base_urls = base_urls
        self._keys = keys

    def wrong(self, what: str) -> StartupError:
        return StartupError(f"The catalog of models {self._source} is wrong: {what}.", "Correct the file.")

    def endpoint(self, name: str, table: Any) -> Endpoint:
        about = f"provider {name!r}"
        if not isinstance(table, dict):
            raise self.wrong(f"{about} is no table")
        self.only(table, _PROVIDER_KEYS, about)
        base_url = self._base_urls.get(name) or self._text(table, "base_url", about)
        if not _is_address(base_url):
            raise self.wrong(
                f"base_url of {about} has to be an address that begins with http:// or https://, without a query"
            )
        variable = self._text(table, "api_key_env", about, "")
        key = (self._keys.get(variable) or "").strip() if variable else ""
        if not (key.isascii() and key.isprintable()):
            # It would break every call's header.
            return Endpoint(name, base_url, None, f"{variable} has characters that no key has; set it again")
        # Whoever points a provider elsewhere, to a server of their own for example, may need no key there.
        needed = variable and not key and name not in self._base_urls
        return Endpoint(name, base_url, key or None, f"set {variable}" if needed else "")

    def model(
        self, entry: Any, about: str, endpoints: Mapping[str, Endpoint], make: MakeProvider
    ) -> CatalogModel:
        if not isinstance(entry, dict):
            raise self.wrong(f"{about} is no table")
        name = self._text(entry, "name", about)
        about = f"model {name!r}"
        self.only(entry, _MODEL_KEYS, about)
        provider = self._text(entry, "provider", about)
        if provider not in endpoints:
            raise self.wrong(f"{about} names the provider {provider!r}, which the file does not have")
        context_tokens = entry.get("context_tokens", 0)
        if type(context_tokens) is not int or not 0 <= context_tokens <= _MOST_CONTEXT_TOKENS:
            raise self.wrong(f"context_tokens of {about} has to be a whole number, 0 when unknown")
        endpoint = endpoints[provider]
        return CatalogModel(
            name=name,
            provider_name=provider,
            upstream=self._text(entry, "upstream", about, name),
            display_name=self._text(entry, "display_name", about, name),
            description=self._text(entry, "description", about, ""),
            context_tokens=context_tokens,
            capabilities=frozenset(
                self._capability(text, about) for text in self._texts(entry, "capabilities", about)
            ),
            not_ready_reason=endpoint.missing,
            provider=make(endpoint, name),
        )

    def only(self, table: Mapping[str, Any], known: set[str], about: str) -> None:
        for key in table:
            if key not in known:
                raise self.wrong(f"{about} has {key!r}; known are {', '.join(sorted(known))}")

    def table(self, content: Mapping[str, Any], key: str) -> dict[str, Any]:
        found = content.get(key, {})
        if not isinstance(found, dict):
            raise self.wrong(f"{key} is no table")
        return found

    def entries(self, content: Mapping[str, Any], key: str) -> list[Any]:
        found = content.get(key, [])
        if not isinstance(found, list):
            raise self.wrong(f"write each entry of {key} under [[{key}]]")
        return found

    def _text(self, table: Mapping[str, Any], key: str, about: str, default: str | None = None) -> str:
        value = table.get(key, default)
        if not isinstance(value, str) or (default is None and not value):
            raise self.wrong(f"{about} needs {key}, a text")
        return value

    def _texts(self, table: Mapping[str, Any], key: str, about: str) -> list[str]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self.wrong(f"{key} of {about} has to be a list of texts")
        return value

    def _capability(self, text: str, about: str) -> Capability:
        try:
            return Capability(text)
        except ValueError:
            known = ", ".join(Capability)
            raise self.wrong(f"{about} has the capability {text!r}; known are {known}") from None
