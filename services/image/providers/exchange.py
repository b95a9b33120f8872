"""What the providers behind HTTP have in common: one attempt, its bounds, and what its failures mean."""

from __future__ import annotations

import asyncio
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
from services.image.errors import ImageUnusable
from services.infra.http import bodies
from services.infra.http.public import FetchFailed, FetchTimedOut, NotPublic, PublicFetch, TooLarge

_ACCEPT = "image/png, image/jpeg, image/webp, image/*;q=0.8"
_SAID_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds for a connection and for an attempt in all, and the bytes that are taken of one image."""

    connect: float
    total: float
    image_bytes: int


def open_session() -> aiohttp.ClientSession:
    """A session for providers. An image takes seconds, so that a new connection for each call costs nothing, and none can be closed by the
    other side in the moment of its use. No cookie of one call is sent with another."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )


class Exchange:
    """The way to one model's API. `model` is the catalog's name, `key` is sent as a bearer token when there is one, and `origins` are those that
    images are fetched from wherever they are."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        fetch: PublicFetch,
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
        self._bounds = bounds

    @property
    def image_bytes(self) -> int:
        """The most bytes that are taken of one image."""
        return self._bounds.image_bytes

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """Bounds what is done in the block, and has it fail as the port says."""
        try:
            async with asyncio.timeout(self._bounds.total):
                yield
        except aiohttp.ServerTimeoutError:
            raise self._late("connect") from None
        except TimeoutError:
            raise self._late("total") from None
        except FetchTimedOut as error:
            raise self._late(error.stage) from None
        except TooLarge as error:
            raise ImageUnusable(
                f"the model's provider sent more than {error.limit} bytes; choose a smaller size, or another model",
                "bytes",
            ) from None
        except NotPublic as error:
            failure = ImageUnusable(
                "the model's provider named an address for the image that is not fetched", "address"
            )
            failure.said = str(error)
            raise failure from None
        except FetchFailed as error:
            raise self._unreached(f"an image that it named: {error}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreached(f"{type(error).__name__}: {error}") from None

    async def post(self, path: str, content: object, accept: str, limit: int) -> bytearray:
        """What the API answers, at most `limit` bytes. Redirects are not followed: they would take the key and the prompt elsewhere."""
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
            timeout=aiohttp.ClientTimeout(total=None, connect=self._bounds.connect),
            allow_redirects=False,
        ) as response:
            if response.status != 200:
                raise self._refused(
                    Refusal(response.status, response.headers, await bodies.beginning(response))
                )
            if bodies.compressed(response):
                raise ProviderProtocol("the model's provider answered compressed, which it was asked not to")
            return await bodies.whole(response, limit)

    async def get_image(self, path: str) -> bytes:
        """The image that the API answers a GET with. Redirects are followed to public hosts, without the key."""
        try:
            return await self._fetched(self._base_url + path, self._authorization, trusted=True)
        except FetchFailed as error:
            if not error.status:
                raise
            raise self._refused(Refusal(error.status, error.headers, error.body)) from None

    async def named_image(self, url: str) -> bytes:
        """The image at an address that the API named."""
        return await self._fetched(url, "", trusted=False)

    def checked(self, data: bytes) -> bytes:
        """What may be an image. Providers tell of their failures in JSON or HTML also where an image should be; whatever else it is, the
        codecs find out."""
        start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if not start or start in b"{[<":
            failure = ProviderProtocol("the model's provider sent a text, or nothing, instead of an image")
            failure.said = self._said(data[:_SAID_LENGTH].decode(errors="replace"))
            raise failure
        return data

    async def _fetched(self, url: str, authorization: str, *, trusted: bool) -> bytes:
        found = await self._fetch.fetch(
            url,
            limit=self._bounds.image_bytes,
            seconds=self._bounds.total,
            accept=_ACCEPT,
            authorization=authorization,
            free_origins=self._origins,
            trusted=trusted,
        )
        return self.checked(found.data)

    def _refused(self, refusal: Refusal) -> ProviderFailure:
        error = refusal.failure(self._model, self._key)
        error.upstream_request_id = self._said(refusal.headers.get("x-request-id", ""))
        return error

    def _unreached(self, what: str) -> ProviderUnavailable:
        error = ProviderUnavailable(
            "the model's provider can't be reached, or closed its answer early; try again"
        )
        error.said = self._said(what)
        return error

    def _late(self, stage: str) -> ProviderTimeout:
        seconds = self._bounds.connect if stage == "connect" else self._bounds.total
        what = "could not be reached" if stage == "connect" else "has made no image"
        return ProviderTimeout(
            f"the model's provider {what} within {seconds:g} s; try again, or a smaller size",
            metadata={"stage": stage},
        )

    def _said(self, text: str) -> str:
        return struck(readable(text, _SAID_LENGTH), self._key)
