"""The adapters of the catalog's models, by what their providers speak."""

from __future__ import annotations

import aiohttp

from services.image.ports import ImageProvider
from services.image.providers.catalog import Endpoint
from services.image.providers.catalog_file import Protocol, ResponseFormat
from services.image.providers.exchange import Bounds, Exchange
from services.image.providers.huggingface import HuggingFaceImages
from services.image.providers.openai import OpenAIImages
from services.image.providers.pollinations import PollinationsImages
from services.infra.http.public import PublicFetch
from services.settings import ImageSettings


class Adapters:
    """Makes them; a MakeProvider of the catalog. `session` is one of `exchange.open_session`; it and `fetch` are shared by all models."""

    def __init__(self, session: aiohttp.ClientSession, fetch: PublicFetch, image: ImageSettings) -> None:
        self._session = session
        self._fetch = fetch
        self._image = image

    def __call__(self, endpoint: Endpoint) -> ImageProvider:
        """The adapter of the model at this endpoint."""
        exchange = Exchange(
            self._session,
            self._fetch,
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
