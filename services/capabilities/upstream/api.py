"""The API of a model's provider over HTTP: what it is sent, and what it means when the answer is not the one that was asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

import aiohttp

from services.capabilities.upstream.errors import ProviderFailure, ProviderProtocol, ProviderUnavailable
from services.capabilities.upstream.refusals import Refusal, readable, struck
from services.infra.http import bodies

_SAID_LENGTH = 300
_TEXT_STARTS = b"{[<"


class ProviderApi:
    """The way to one model's API. `model` is the catalog's name, `key` is sent as a bearer token when there is one, and `connect_seconds`
    is how long a connection may take. `session` is one of `services.infra.http.session.open_session`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base_url: str,
        key: str | None,
        model: str,
        connect_seconds: float,
    ) -> None:
        self._session = session
        self._key = key
        self._model = model
        self.base_url = base_url.rstrip("/")
        self.authorization = f"Bearer {key}" if key else ""
        self.connect_seconds = connect_seconds

    @asynccontextmanager
    async def posted(
        self,
        path: str,
        body: bytes,
        *,
        content_type: str,
        accept: str,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """What the API answers, its body unread. Redirects are not followed: they would take the key and the text elsewhere. Raises
        ProviderFailure for another status than 200 and for what is compressed, and what aiohttp raises. Whoever awaits it bounds the time.
        """
        sent = {"Content-Type": content_type, "Accept": accept, "Accept-Encoding": "identity", **headers}
        if self.authorization:
            sent["Authorization"] = self.authorization
        async with self._session.post(
            self.base_url + path,
            data=body,
            headers=sent,
            timeout=aiohttp.ClientTimeout(total=None, connect=self.connect_seconds),
            allow_redirects=False,
        ) as response:
            if response.status != 200:
                raise self.refused(
                    Refusal(response.status, response.headers, await bodies.beginning(response))
                )
            if bodies.compressed(response):
                raise ProviderProtocol("the model's provider answered compressed, which it was asked not to")
            yield response

    def refused(self, refusal: Refusal) -> ProviderFailure:
        """What an answer with another status means."""
        error = refusal.failure(self._model, self._key)
        error.upstream_request_id = self.said(refusal.headers.get("x-request-id", ""))
        return error

    def unreached(self, what: str) -> ProviderUnavailable:
        """Nobody answers, or not to the end."""
        error = ProviderUnavailable(
            "the model's provider can't be reached, or closed its answer early; try again"
        )
        error.said = self.said(what)
        return error

    def checked(self, data: bytes, what: str) -> bytes:
        """What may be an image, or whatever `what` says. Providers tell of their failures in JSON or HTML also where that should be. Raises
        ProviderProtocol for such a text, and for nothing."""
        start = data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        if not start or start in _TEXT_STARTS:
            raise self.told_instead(data, what)
        return data

    def told_instead(self, data: bytes, what: str) -> ProviderProtocol:
        """A text came in the place of what `what` says."""
        error = ProviderProtocol(f"the model's provider sent a text, or nothing, instead of {what}")
        error.said = self.said(data[:_SAID_LENGTH].decode(errors="replace"))
        return error

    def said(self, text: str) -> str:
        """The beginning of what a provider said, in one line and without the key."""
        return struck(readable(text, _SAID_LENGTH), self._key)
