"""ListModels and ListVoices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.kernel.errors import Unavailable
from services.speech.model import Voice
from services.speech.ports import Catalog, CatalogModel
from services.speech.usecases.languages import speaks

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ListModels:
    """What is on offer."""

    catalog: Catalog

    def __call__(self) -> Sequence[CatalogModel]:
        """All models, the default one first."""
        default = self.catalog.default
        return [default, *(model for model in self.catalog.models.values() if model.name != default.name)]


@dataclass(frozen=True, slots=True)
class ListVoices:
    """Who can speak."""

    catalog: Catalog

    async def __call__(self, language: str, model: str) -> list[tuple[CatalogModel, Voice]]:
        """The voices that speak a language, if one is given, of one model or of all that are ready, those of the default model first. Raises
        ModelNotFound, ModelNotReady and Unavailable."""
        if model:
            models: Sequence[CatalogModel] = [self.catalog.find(model)]
        else:
            models = [one for one in ListModels(self.catalog)() if one.ready]
        found = []
        for one in models:
            try:
                voices = await one.speaker.voices()
            except Unavailable as error:
                if model:
                    raise
                # Those of the others are there all the same.
                log.warning("the voices of a model can't be listed now", model=one.name, error=error.message)
                continue
            found += [(one, voice) for voice in voices if speaks(voice.language, language)]
        return found
