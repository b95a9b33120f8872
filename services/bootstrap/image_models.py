"""Looks at the models that make images: which are ready, and whether those who make them can be asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from services.bootstrap.findings import Finding, Verdict
from services.bootstrap.providers import Asked, provider_found
from services.kernel.startup import StartupError
from services.settings import Settings

if TYPE_CHECKING:
    from services.image.ports import ImageProvider, ProviderCall, ProviderImage
    from services.image.providers.catalog import Endpoint, FileCatalog

_MODELS = "image models"
_ON_MISSING = "Write its models into a catalog of your own, ANTIPHON_IMAGE__MODELS_FILE (docs/image-models.md); some servers take any name."


async def image_models_found(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Finding]:
    """What there is to say of the catalog, then of each provider that has a model that is ready. No image is asked for."""
    from services.image.providers.catalog import configured_catalog
    from services.image.providers.catalog_file import Protocol

    uncalled = _Uncalled()
    endpoints: dict[str, Endpoint] = {}

    def noted(endpoint: Endpoint) -> ImageProvider:
        endpoints[endpoint.model] = endpoint
        return uncalled

    try:
        catalog = configured_catalog(settings, environ, noted, uncalled)
    except StartupError as error:
        yield Finding(_MODELS, Verdict.BAD, error.message, error.advice)
        return
    yield _catalog(catalog)
    ready: dict[str, list[str]] = {}
    for model in catalog.models.values():
        if model.ready and model.name in endpoints:
            ready.setdefault(model.provider_name, []).append(model.name)
    looks = []
    for name, models in ready.items():
        endpoint = endpoints[models[0]]
        upstreams = [catalog.models[model].upstream for model in models]
        lists = endpoint.protocol is Protocol.OPENAI
        asked = Asked(f"{name} (images)", endpoint.base_url, endpoint.key, upstreams, lists)
        looks.append(provider_found(asked, _ON_MISSING))
    for finding in await asyncio.gather(*looks):
        yield finding


def _catalog(catalog: FileCatalog) -> Finding:
    from services.image.providers.catalog import PROCEDURAL

    models = catalog.models.values()
    ready = [model.name for model in models if model.ready]
    waiting = sorted({model.not_ready_reason for model in models if not model.ready})
    if ready == [PROCEDURAL]:
        return Finding(
            _MODELS,
            Verdict.NOTE,
            "only procedural is ready, which draws patterns",
            f"For a real one: {'; or '.join(waiting)}."
            if waiting
            else "Add one to ANTIPHON_IMAGE__MODELS_FILE.",
        )
    return Finding(_MODELS, Verdict.GOOD, f"ready: {', '.join(ready)}")


class _Uncalled:
    """The provider of a model that is only looked at."""

    def generate(self, call: ProviderCall) -> AsyncIterator[ProviderImage]:
        """Nobody calls it."""
        raise AssertionError("the doctor has no images made")
