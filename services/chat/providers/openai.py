"""Anything that speaks OpenAI's chat completions, read as raw server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

import aiohttp
import structlog

from services.chat.errors import (
    ProviderCredential,
    ProviderProtocol,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from services.chat.model import Delta
from services.chat.ports import Done, ModelCall
from services.chat.providers import wire
from services.chat.providers.reading import Reading
from services.chat.providers.silence import Silence
from services.kernel.errors import ServiceError

log = structlog.get_logger(__name__)

_SAID_LENGTH = 300
_ERROR_BYTES = 64 * 1024
_ERROR_SECONDS = 2.0
# Behind a whole answer only its usage and the end of the stream are waited for.
_TAIL_SECONDS = 5.0
_END_SECONDS = 0.01
_DEFAULT_RETRY_SECONDS = 5.0
_LONGEST_RETRY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds: for the connection, for the first token, and between tokens."""

    connect: float
    first_token: float
    idle: float


class OpenAIProvider:
    """A model of an endpoint. `model` and `provider` are the catalog's names, for errors.

    The session is shared with all other models; `key` is sent as a bearer token when there is one.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        key: str | None,
        timeouts: Timeouts,
        model: str,
        provider: str,
    ) -> None:
        self._session = session
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._key = key
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
        }
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._timeouts = timeouts
        self._about = {"model": model, "provider": provider}

    async def stream(self, call: ModelCall) -> AsyncIterator[Sequence[Delta] | Done]:
        """As the port says."""
        reading = Reading(self._said)
        try:
            async with aclosing(self._groups(call, reading)) as groups:  # type: ignore[type-var]
                async for group in groups:
                    yield group
        except TimeoutError as error:
            # Some endpoints leave the connection open behind a whole answer, others break it off.
            if not reading.complete:
                raise self._silent(error, reading) from None
        except (aiohttp.ClientError, OSError) as error:
            if not reading.complete:
                said = self._said(f"{type(error).__name__}: {error}")
                log.warning("a provider failed", error=said, **self._about)
                raise ProviderUnavailable(
                    "the model's provider can't be reached, or closed its answer early; try again",
                    metadata=self._about,
                ) from None
        except ServiceError as error:
            error.metadata = {**self._about, **error.metadata}
            raise
        yield reading.done(self._about)

    async def _groups(self, call: ModelCall, reading: Reading) -> AsyncIterator[Sequence[Delta]]:
        async with asyncio.timeout(self._timeouts.connect + self._timeouts.first_token) as limit:
            async with await self._asked(wire.request_body(call)) as response:
                await self._check(response)
                idle = self._timeouts.idle
                async with aclosing(reading.groups(response)) as groups:  # type: ignore[type-var]
                    with closing(Silence(limit)) as silence:
                        async for group in groups:
                            if group:
                                # The consumer's own time does not count as the provider's silence.
                                silence.pause()
                                yield group
                            # A comment that keeps the connection alive is no token.
                            if reading.heard() and (reading.began or reading.complete):
                                silence.listen(min(idle, _TAIL_SECONDS) if reading.complete else idle)
                limit.reschedule(None)
                await _to_the_end(response)

    async def _asked(self, body: bytes) -> aiohttp.ClientResponse:
        try:
            return await self._post(body)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError):
            # An endpoint may close a connection that was kept open in the very moment in which it is used again. Not a byte of an
            # answer has come, so asking once more over a new one is safe.
            return await self._post(body)

    async def _post(self, body: bytes) -> aiohttp.ClientResponse:
        return await self._session.post(
            self._url,
            data=body,
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect),
            allow_redirects=False,
            # What is compressed arrives in blocks instead of tokens, and may be a bomb.
            auto_decompress=False,
        )

    def _silent(self, error: TimeoutError, reading: Reading) -> ProviderTimeout:
        stage = "between_tokens" if reading.began else "first_token"
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            stage = "connect"
        return ProviderTimeout(
            f"the model's provider was silent for too long ({stage.replace('_', ' ')}); try again or choose another model",
            metadata={**self._about, "stage": stage},
        )

    def _said(self, text: str) -> str:
        """What an endpoint said, in short, and without the key: some repeat it."""
        # Struck out first, so that no cut leaves a part of the key.
        said = text.replace(self._key, "…") if self._key else text
        return said[:_SAID_LENGTH]

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        """Raise what a response means that is no stream of events."""
        if response.status == 200:
            if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
                raise ProviderProtocol("the model's provider answered compressed, which it was asked not to")
            if response.content_type not in (
                "text/event-stream",
                "application/json",
                "application/octet-stream",
                "text/plain",
            ):
                raise ProviderProtocol(
                    f"the model's provider answered with {response.content_type}, not with a stream"
                )
            return
        said = self._said(wire.error_text(await _beginning(response)))
        metadata = {"http_status": str(response.status)}
        log.warning("a provider refused a call", http_status=response.status, said=said, **self._about)
        if response.status in (401, 403):
            raise ProviderCredential(
                "the model's provider did not accept this deployment's key; its operator has to look after it",
                metadata=metadata,
            )
        if response.status == 429:
            raise ProviderRateLimited(
                "the model's provider limits this deployment; try again later",
                metadata=metadata,
                retry_after=_retry_after(response),
            )
        if response.status in (408, 409, 425) or response.status >= 500:
            raise ProviderUnavailable(
                f"the model's provider failed (HTTP {response.status}); try again",
                metadata=metadata,
                retry_after=_retry_after(response) if response.status == 503 else 1.0,
            )
        # What is wrong with the request is the caller's business, so the provider's words are passed on.
        raise ProviderRefused(
            f"the model's provider refused the request (HTTP {response.status}){': ' + said if said else ''}",
            metadata=metadata,
        )


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """The body of a refusal as far as it matters. The status counts, even if the body does not come."""
    body = bytearray()
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(_ERROR_SECONDS):
            async for block in response.content.iter_any():
                body += block
                if len(body) >= _ERROR_BYTES:
                    break
    return bytes(body[:_ERROR_BYTES])


async def _to_the_end(response: aiohttp.ClientResponse) -> None:
    """Read the end of a response that has just been announced, so that its connection can be used again."""
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(_END_SECONDS):
            async for _ in response.content.iter_any():
                pass


def _retry_after(response: aiohttp.ClientResponse) -> float:
    """Seconds from the header, which has seconds or a date (RFC 9110 §10.2.3)."""
    text = response.headers.get("Retry-After", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(text).astimezone(UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, OverflowError):
            return _DEFAULT_RETRY_SECONDS
    return min(max(seconds, 0.0), _LONGEST_RETRY_SECONDS) if isfinite(seconds) else _DEFAULT_RETRY_SECONDS
