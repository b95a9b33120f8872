"""The adapters of the catalog's models, by what their providers speak."""

from __future__ import annotations

import aiohttp

from services.image.ports import ImageProvider
from services.image.providers.catalog import Endpoint
from services.image.providers.catalog_file import MOST_IMAGES, Protocol, ResponseFormat
from services.image.providers.exchange import Bounds, Exchange
from services.image.providers.huggingface import HuggingFaceImages
from services.image.providers.openai import OpenAIImages
from services.image.providers.pollinations import PollinationsImages
from services.infra.http.public import PublicFetch
from services.kernel.budget import ByteBudget
from services.settings import ImageSettings

# What is held of the answers of all calls together. A small image waits for none that are large.
_MOST_BYTES = 256 * 1024**2
_FREE_BYTES = 2 * 1024**2


def answers_budget(image_bytes: int, most: int = _MOST_BYTES, free: int = _FREE_BYTES) -> ByteBudget:
    """What the providers of one process may hold: `most` bytes, or as much as one call for the most and largest images, and one image more,
    need; `image_bytes` are those of the largest. Of each call `free` bytes are not counted."""
    largest = MOST_IMAGES * image_bytes
    return ByteBudget(max(most, largest + image_bytes), largest=largest, free=free)


class Adapters:
    """Makes them; a MakeProvider of the catalog. `session` is one of `services.infra.http.session.open_session`; it, `fetch` and one `budget` are shared by
    all models."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        fetch: PublicFetch,
        image: ImageSettings,
        budget: ByteBudget | None = None,
    ) -> None:
        self._session = session
        self._fetch = fetch
        self._image = image
        self._budget = budget or answers_budget(image.max_image_bytes)

    def __call__(self, endpoint: Endpoint) -> ImageProvider:
        """The adapter of the model at this endpoint."""
        exchange = Exchange(
            self._session,
            self._fetch,
            self._budget,
            base_url=endpoint.base_url,
            key=endpoint.key,
            origins=endpoint.image_origins,
            model=endpoint.model,
            bounds=Bounds(
                endpoint.timeouts.connect or self._image.connect_timeout,
                endpoint.timeouts.total or self._image.timeout,
                self._image.max_image_bytes,
            ),
        )
        if endpoint.protocol is Protocol.POLLINATIONS:
            return PollinationsImages(exchange)
        if endpoint.protocol is Protocol.HUGGINGFACE:
            return HuggingFaceImages(exchange)
        chosen = endpoint.response_format
        return OpenAIImages(exchange, "" if chosen is ResponseFormat.NONE else chosen.value, endpoint.quality)
