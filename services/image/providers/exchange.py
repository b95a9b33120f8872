"""What the providers behind HTTP have in common: how they are asked, and how they refuse."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import aiohttp
import msgspec

from services.capabilities.upstream.api import ProviderApi
from services.capabilities.upstream.errors import ProviderTimeout, ProviderUnavailable
from services.capabilities.upstream.refusals import Refusal
from services.infra.http.public import FetchFailed, PublicFetch
from services.kernel.budget import ByteBudget, Share

_ACCEPT = "image/png, image/jpeg, image/webp, image/*;q=0.8"


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds for a connection and for an attempt in all, and the bytes that are taken of one image."""

    connect: float
    total: float
    image_bytes: int


class Exchange:
    """The way to one model's API. `model` is the catalog's name, `key` is sent as a bearer token when there is one, and `origins` are those
    that images are fetched from wherever they are. `budget` bounds what is held of answers."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        fetch: PublicFetch,
        budget: ByteBudget,
        *,
        base_url: str,
        key: str | None,
        origins: tuple[str, ...],
        model: str,
        bounds: Bounds,
    ) -> None:
        self._api = ProviderApi(
            session, base_url=base_url, key=key, model=model, connect_seconds=bounds.connect
        )
        self._fetch = fetch
        # Where the API is, the operator says, so its images may be there, too.
        self._origins = origins
        self.bounds = bounds
        self.budget = budget

    def posted(
        self, path: str, content: object, accept: str
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """What the API answers to JSON, as `ProviderApi.posted` says."""
        return self._api.posted(
            path, msgspec.json.encode(content), content_type="application/json", accept=accept
        )

    async def got_image(self, path: str, share: Share, seconds: float) -> bytes:
        """The image that the API answers a GET with. Redirects are followed to public hosts, other ones without the key."""
        try:
            return await self._fetched(
                self._api.base_url + path, self._api.authorization, share, seconds, trusted=True
            )
        except FetchFailed as error:
            if not error.status:
                raise
            raise self._api.refused(Refusal(error.status, error.headers, error.body)) from None

    async def named_image(self, url: str, share: Share, seconds: float) -> bytes:
        """The image at an address that the API named."""
        return await self._fetched(url, "", share, seconds, trusted=False)

    def checked(self, data: bytes) -> bytes:
        """What may be an image; whatever else it is, the codecs find out."""
        return self._api.checked(data, "an image")

    def late(self, stage: str) -> ProviderTimeout:
        """It took too long; `stage` is `connect`, `total`, or `room` when the answer was there, and no room for it."""
        seconds = self.bounds.connect if stage == "connect" else self.bounds.total
        what = {
            "connect": "the model's provider could not be reached",
            "total": "the model's provider has made no image",
            "room": "too many large images came at once, so that there was no room for this one",
        }[stage]
        return ProviderTimeout(
            f"{what} within {seconds:g} s; try again, or a smaller size", metadata={"stage": stage}
        )

    def unreached(self, what: str) -> ProviderUnavailable:
        """Nobody answers, or not to the end."""
        return self._api.unreached(what)

    async def _fetched(
        self, url: str, authorization: str, share: Share, seconds: float, *, trusted: bool
    ) -> bytes:
        found = await self._fetch.fetch(
            url,
            limit=self.bounds.image_bytes,
            seconds=seconds,
            accept=_ACCEPT,
            authorization=authorization,
            free_origins=self._origins,
            trusted=trusted,
            share=share,
        )
        return self.checked(found.data)
