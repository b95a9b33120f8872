"""The whole work on one call: its turn at the provider, the images, and what is filed behind them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from services.capabilities.generations.errors import TooManyGenerations
from services.capabilities.generations.running import Progress
from services.capabilities.upstream.turns import NoTurn, Turns
from services.image.generation.filing import Filer
from services.image.generation.making import Made, Maker
from services.image.generation.metrics import ImageMetrics
from services.image.model import Generation, Image, group_of
from services.image.ports import CatalogModel

_FILING_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class MakeImages:
    """Makes and keeps the images of generations that were begun."""

    maker: Maker
    filer: Filer
    turns: Turns
    metrics: ImageMetrics

    async def __call__(
        self, generation: Generation, model: CatalogModel, progress: Progress
    ) -> Sequence[Image]:
        """The images, in the index and most often filed. Raises TooManyGenerations when the turn at the model's provider takes as long as an
        attempt may, and what `Maker` raises."""
        images = await self.maker.keep(generation, await self._made(generation, model, progress))
        began = time.perf_counter()
        groups = {group_of(image.image_id, image.user_id, image.day) for image in images}
        await asyncio.gather(*(self.filer.file(group, _FILING_SECONDS) for group in groups))
        self.metrics.seconds.labels("filing").observe(time.perf_counter() - began)
        return images

    async def _made(self, generation: Generation, model: CatalogModel, progress: Progress) -> Sequence[Made]:
        came = time.perf_counter()
        try:
            async with self.turns.turn(model.provider_name, model.timeout):
                self.metrics.seconds.labels("queue").observe(time.perf_counter() - came)
                return await self.maker.make(generation, model, progress)
        except NoTurn:
            raise TooManyGenerations from None
