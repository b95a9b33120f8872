"""The making of one call's images: the provider, the codecs, the objects, the index."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from services.capabilities.blobs.ports import Blobs
from services.capabilities.generations.keeping import kept
from services.capabilities.generations.running import Progress
from services.capabilities.metering.meter import Meter
from services.capabilities.metering.model import UsageStatus
from services.capabilities.upstream.errors import ProviderFailure
from services.capabilities.upstream.telling import tell_failure
from services.image.errors import ImageUnusable, NotStored
from services.image.generation.calling import generated
from services.image.generation.metrics import ImageMetrics
from services.image.generation.objects import JSON, PNG, Keys, input_json
from services.image.generation.usage import usage_event
from services.image.model import Generation, Image
from services.image.ports import CatalogModel, Codecs, ImageStore, Original, ProviderCall
from services.kernel.errors import Unavailable
from services.kernel.ids import new_id
from services.kernel.together import together

log = structlog.get_logger(__name__)

_OBJECT_ATTEMPTS = 3
_OBJECT_PAUSE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Made:
    """An image whose objects are stored: its size in pixels, the SHA-256 and the bytes of its original, and what its provider says of the
    prompt that it used instead."""

    width: int
    height: int
    sha256: str
    size_bytes: int
    revised_prompt: str


class Maker:
    """Makes images, in two steps: what can be called off, until the last image has come back, and what is brought to its end."""

    def __init__(
        self,
        store: ImageStore,
        blobs: Blobs,
        codecs: Codecs,
        meter: Meter,
        metrics: ImageMetrics,
        *,
        retries: int,
        embed_metadata: bool,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._codecs = codecs
        self._meter = meter
        self._metrics = metrics
        self._retries = retries
        self._embed_metadata = embed_metadata

    async def make(self, generation: Generation, model: CatalogModel, progress: Progress) -> Sequence[Made]:
        """Have the images made, decoded, and their objects stored, one after the other, so that one at a time is in memory.

        `progress` is told before the first object is written, and when the last image has come back: from then on it is not to be
        called off. Raises ProviderFailure, NotStored and Unavailable.
        """
        order = generation.order
        style = model.styles.get(order.style, "")
        call = ProviderCall(
            upstream=model.upstream,
            prompt=f"{order.prompt}, {style}" if style else order.prompt,
            negative_prompt=order.negative_prompt,
            size=order.size,
            style=order.style,
            seed=order.seed,
            count=order.count,
        )
        made: list[Made] = []
        began = time.perf_counter()
        async with aclosing(generated(model, call, self._retries, self._failed)) as images:
            while len(made) < order.count:
                image = await anext(images)
                began = self._observe("provider", began)
                if len(made) + 1 == order.count:
                    progress.arrived()
                revised, data = image.revised_prompt, image.data
                del image
                original = await self._adopted(generation, model, len(made), data)
                del data
                began = self._observe("decode", began)
                progress.touched()
                await self._store_objects(generation, len(made), original)
                began = self._observe("objects", began)
                made.append(
                    Made(original.width, original.height, original.sha256, len(original.png), revised)
                )
                del original
        return made

    async def keep(self, generation: Generation, made: Sequence[Made]) -> list[Image]:
        """Have the images in the index. Behind this they are there for their owner. Raises Superseded when the generation was taken from
        this process, and IndexLost."""
        began = time.perf_counter()
        now = datetime.now(UTC)
        milliseconds = _milliseconds(generation.create_time, now)
        images = [_image(generation, one, index, milliseconds) for index, one in enumerate(made)]
        event = self._meter.taken(
            usage_event(generation, UsageStatus.SUCCESS, "", len(images), new_id(), now)
        )
        await kept(lambda: self._store.complete(generation.generation_id, images, event))
        self._meter.stored(event)
        self._observe("index", began)
        return images

    def _failed(self, error: ProviderFailure) -> None:
        self._metrics.provider_failures.labels(error.metadata["model"], error.reason).inc()
        tell_failure("a provider made no image", error)

    def _observe(self, stage: str, began: float) -> float:
        """A stage is over that began then. Returns when the next one begins."""
        now = time.perf_counter()
        self._metrics.seconds.labels(stage).observe(now - began)
        return now

    async def _adopted(
        self, generation: Generation, model: CatalogModel, index: int, data: bytes
    ) -> Original:
        try:
            return await self._codecs.adopt(data, self._facts(generation, index))
        except ImageUnusable as error:
            error.metadata = {"model": model.name, "provider": model.provider_name, **error.metadata}
            self._failed(error)
            raise

    def _facts(self, generation: Generation, index: int) -> dict[str, str]:
        """What is written into the file, by the keywords of PNG where it has one (RFC 2083 §4.2.7.1)."""
        if not self._embed_metadata:
            return {}
        order = generation.order
        facts = {
            "Software": "Antiphon",
            "Description": order.prompt,
            "Negative prompt": order.negative_prompt,
            "Model": order.model,
            "Seed": "" if order.seed is None else str(order.seed + index),
        }
        return {keyword: text for keyword, text in facts.items() if text}

    async def _store_objects(self, generation: Generation, index: int, original: Original) -> None:
        image_id = generation.image_ids[index]
        keys = _keys(generation, image_id)
        for attempt in range(1, _OBJECT_ATTEMPTS + 1):
            try:
                await together(
                    [
                        self._blobs.put(keys.input, input_json(generation, image_id, index), JSON),
                        self._blobs.put(keys.original, original.png, PNG),
                        self._blobs.put(keys.thumbnail, original.thumbnail, PNG),
                    ]
                )
                return
            except Unavailable as error:
                # The image was made, and maybe paid for: the store gets another chance.
                if attempt == _OBJECT_ATTEMPTS:
                    raise NotStored from error
            await asyncio.sleep(_OBJECT_PAUSE_SECONDS * attempt)


def _keys(generation: Generation, image_id: str) -> Keys:
    return Keys(image_id, generation.create_time.astimezone(UTC).date())


def _milliseconds(start: datetime, end: datetime) -> int:
    return max(0, round((end - start).total_seconds() * 1000))


def _image(generation: Generation, made: Made, index: int, milliseconds: int) -> Image:
    order = generation.order
    return Image(
        image_id=generation.image_ids[index],
        generation_id=generation.generation_id,
        user_id=generation.user_id,
        api_key_id=generation.api_key_id,
        request_id=generation.request_id,
        prompt=order.prompt,
        negative_prompt=order.negative_prompt,
        size=str(order.size),
        style=order.style,
        model=order.model,
        provider=order.provider,
        seed=None if order.seed is None else order.seed + index,
        index=index,
        width=made.width,
        height=made.height,
        sha256=made.sha256,
        size_bytes=made.size_bytes,
        revised_prompt=made.revised_prompt,
        processing_time_ms=milliseconds,
        create_time=generation.create_time,
    )
