"""What the providers behind HTTP have in common: how they are asked, and how they refuse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import msgspec

from services.capabilities.upstream.errors import (
    ProviderFailure,
    ProviderProtocol,
    ProviderTimeout,
    ProviderUnavailable,
)
from services.capabilities.upstream.refusals import Refusal, readable, struck
from services.infra.http import bodies
from services.infra.http.public import FetchFailed, PublicFetch
from services.infra.http.resolving import JudgedNames, SystemNames
from services.kernel.budget import ByteBudget, Share

_ACCEPT = "image/png, image/jpeg, image/webp, image/*;q=0.8"
_SAID_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds for a connection and for an attempt in all, and the bytes that are taken of one image."""

    connect: float
    total: float
    image_bytes: int


@asynccontextmanager
async def open_session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session for providers. An image takes seconds, so that a new connection for each call costs nothing, and none can be closed by the
    other side in the moment of its use. No cookie of one call is sent with another. Names are looked up in threads of its own."""
    names = SystemNames()
    try:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, force_close=True, resolver=JudgedNames(names, lambda _: True)
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        ) as session:
            yield session
    finally:
        names.close()


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
        self._session = session
        self._fetch = fetch
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._authorization = f"Bearer {key}" if key else ""
        # Where the API is, the operator says, so its images may be there, too.
        self._origins = origins
        self._model = model
        self.bounds = bounds
        self.budget = budget

    @asynccontextmanager
    async def posted(self, path: str, content: object, accept: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """What the API answers. Redirects are not followed: they would take the key and the prompt elsewhere."""
        headers = {
            "Content-Type": "application/json",
            "Accept": accept,
            "Accept-Encoding": "identity",
        }
        if self._authorization:
            headers["Authorization"] = self._authorization
        async with self._session.post(
            self._base_url + path,
            data=msgspec.json.encode(content),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=self.bounds.connect),
            allow_redirects=False,
        ) as response:
            if response.status != 200:
                raise self._refused(
                    Refusal(response.status, response.headers, await bodies.beginning(response))
                )
            if bodies.compressed(response):
                raise ProviderProtocol("the model's provider answered compressed, which it was asked not to")
            yield response

    async def got_image(self, path: str, share: Share, seconds: float) -> bytes:
        """The image that the API answers a GET with. Redirects are followed to public hosts, other ones without the key."""
        try:
            return await self._fetched(
                self._base_url + path, self._authorization, share, seconds, trusted=True
            )
        except FetchFailed as error:
            if not error.status:
                raise
            raise self._refused(Refusal(error.status, error.headers, error.body)) from None

    async def named_image(self, url: str, share: Share, seconds: float) -> bytes:
        """The image at an address that the API named."""
        return await self._fetched(url, "", share, seconds, trusted=False)

    def checked(self, data: bytes) -> bytes:
        """What may be an image. Providers tell of their failures in JSON or HTML also where an image should be; whatever else it is, the
        codecs find out."""
        start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if not start or start in b"{[<":
            failure = ProviderProtocol("the model's provider sent a text, or nothing, instead of an image")
            failure.said = self._said(data[:_SAID_LENGTH].decode(errors="replace"))
            raise failure
        return data

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
        error = ProviderUnavailable(
            "the model's provider can't be reached, or closed its answer early; try again"
        )
        error.said = self._said(what)
        return error

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

    def _refused(self, refusal: Refusal) -> ProviderFailure:
        error = refusal.failure(self._model, self._key)
        error.upstream_request_id = self._said(refusal.headers.get("x-request-id", ""))
        return error

    def _said(self, text: str) -> str:
        return struck(readable(text, _SAID_LENGTH), self._key)
