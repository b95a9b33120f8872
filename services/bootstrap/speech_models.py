"""Looks at the models that speak: which are ready, and whether those who speak can be asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING

from services.bootstrap.findings import Finding, Verdict
from services.bootstrap.providers import Asked, provider_found
from services.kernel.startup import StartupError
from services.settings import Settings

if TYPE_CHECKING:
    from services.speech.model import Batch, Ending, Voice
    from services.speech.ports import Speaker, Task
    from services.speech.providers.catalog import Endpoint, FileCatalog

_MODELS = "speech models"
_ON_MISSING = "Write its models into a catalog of your own, ANTIPHON_SPEECH__MODELS_FILE (docs/speech-models.md); some servers take any name."


async def speech_models_found(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Finding]:
    """What there is to say of the catalog, then of each provider that has a model that is ready; of Google Translate only where it speaks for
    whoever names no model. Nothing is spoken."""
    from services.speech.providers.catalog import GTTS, NOT_INSTALLED, BuiltIn, configured_catalog
    from services.speech.providers.espeak.adapter import installed

    uncalled = _Uncalled()
    endpoints: dict[str, Endpoint] = {}

    def noted(endpoint: Endpoint) -> Speaker:
        endpoints[endpoint.model] = endpoint
        return uncalled

    built_in = BuiltIn(uncalled, installed(), uncalled)
    try:
        catalog = configured_catalog(settings, environ, noted, built_in)
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
        asked = Asked(f"{name} (speech)", endpoint.base_url, endpoint.key, upstreams)
        looks.append(provider_found(asked, _ON_MISSING))
    if catalog.default.name == GTTS and catalog.default.ready:
        asked = Asked(
            GTTS,
            settings.speech.gtts_url,
            None,
            (),
            lists=False,
            on_silence=f"For a voice that needs no network: {NOT_INSTALLED}.",
        )
        looks.append(provider_found(asked, _ON_MISSING))
    for finding in await asyncio.gather(*looks):
        yield finding


def _catalog(catalog: FileCatalog) -> Finding:
    from services.speech.providers.catalog import GTTS, NOT_INSTALLED

    models = catalog.models.values()
    ready = [model.name for model in models if model.ready]
    if not ready:
        waiting = sorted({model.not_ready_reason for model in models})
        return Finding(_MODELS, Verdict.BAD, "none is ready", f"{'; or '.join(waiting)}.")
    if ready == [GTTS]:
        return Finding(
            _MODELS,
            Verdict.NOTE,
            "only gtts is ready, which sends all texts to Google Translate",
            f"For a voice on this machine: {NOT_INSTALLED}.",
        )
    return Finding(_MODELS, Verdict.GOOD, f"ready: {', '.join(ready)}")


class _Uncalled:
    """The speaker of a model that is only looked at."""

    def speak(self, task: Task) -> AsyncIterator[Batch | Ending]:
        """Nobody calls it."""
        raise AssertionError("the doctor has nothing spoken")

    async def voices(self) -> Sequence[Voice]:
        """Nobody calls it."""
        raise AssertionError("the doctor asks for no voices")
