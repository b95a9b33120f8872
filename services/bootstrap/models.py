"""Looks at the models: which are ready, and whether those who make their answers can be asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from services.bootstrap.findings import Finding, Verdict
from services.bootstrap.providers import Asked, provider_found
from services.kernel.startup import StartupError
from services.settings import Settings

if TYPE_CHECKING:
    from services.chat.ports import CatalogModel, Provider
    from services.chat.providers.catalog import Endpoint, FileCatalog


async def models_found(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Finding]:
    """What there is to say of the catalog, then of each provider that has a model that is ready."""
    from services.chat.providers.catalog import configured_catalog
    from services.chat.providers.echo import EchoProvider

    echo = EchoProvider(settings.chat.echo_interval_ms / 1000)
    endpoints: dict[str, Endpoint] = {}

    def noted(endpoint: Endpoint, _model: str) -> Provider:
        endpoints[endpoint.name] = endpoint
        return echo

    try:
        catalog = configured_catalog(settings.chat, environ, noted, echo)
    except StartupError as error:
        yield Finding("models", Verdict.BAD, error.message, error.advice)
        return
    yield _catalog(settings, catalog)
    ready: dict[str, list[CatalogModel]] = {}
    for model in catalog.models.values():
        if model.ready and model.provider_name in endpoints:
            ready.setdefault(model.provider_name, []).append(model)
    looks = [
        provider_found(
            Asked(name, endpoints[name].base_url, endpoints[name].key, [model.upstream for model in models]),
            "Write its models into a catalog of your own, ANTIPHON_CHAT__MODELS_FILE (docs/models.md); some servers take any name.",
        )
        for name, models in ready.items()
    ]
    for finding in await asyncio.gather(*looks):
        yield finding


def _catalog(settings: Settings, catalog: FileCatalog) -> Finding:
    models = catalog.models.values()
    ready = [model.name for model in models if model.ready]
    waiting = sorted({model.not_ready_reason for model in models if not model.ready})
    if ready == ["echo"]:
        return Finding(
            "models",
            Verdict.NOTE,
            "only echo is ready, which is no language model",
            f"For a real one: {'; or '.join(waiting)}."
            if waiting
            else "Add one to ANTIPHON_CHAT__MODELS_FILE.",
        )
    # The built-in catalog has fallbacks for whoever has several keys; a file of one's own means those that it names.
    passed_over = settings.chat.models_file and {
        name: catalog.models[name].not_ready_reason
        for model in models
        if model.ready
        for name in model.fallbacks
        if not catalog.models[name].ready
    }
    if passed_over:
        return Finding(
            "models",
            Verdict.NOTE,
            f"ready: {', '.join(ready)}; not ready, and passed over as fallbacks: {', '.join(passed_over)}",
            f"For them to take over when others fail: {'; '.join(sorted(set(passed_over.values())))}.",
        )
    return Finding("models", Verdict.GOOD, f"ready: {', '.join(ready)}")
