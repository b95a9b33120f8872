"""Anything that speaks OpenAI's chat completions, read as raw server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, closing, suppress
from dataclasses import dataclass
from weakref import WeakSet

import aiohttp

from services.capabilities.upstream.errors import (
    ProviderFailure,
    ProviderProtocol,
    ProviderTimeout,
    ProviderUnavailable,
)
from services.capabilities.upstream.refusals import Refusal
from services.chat.model import Delta, Picture
from services.chat.ports import Done, ModelCall
from services.chat.providers.reading import Reading
from services.chat.providers.request import request_body
from services.chat.providers.sending import Body
from services.chat.providers.silence import Silence

# The provider's own time-outs are not those of aiohttp.
_UNTIMED = aiohttp.ClientTimeout(total=None)
_SAID_LENGTH = 300
_ERROR_BYTES = 64 * 1024
_ERROR_SECONDS = 2.0
# Behind a whole answer only its usage and the end of the stream are waited for.
_TAIL_SECONDS = 5.0
_END_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds: for the connection, from then on for the first token, and between tokens."""

    connect: float
    first_token: float
    idle: float


class OpenAIProvider:
    """A model of an endpoint. `model` and `provider` are the catalog's names, for errors.

    The session is shared with all other models, and so is `used`, which remembers the connections that have carried a call; `key` is sent as a
    bearer token when there is one.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        key: str | None,
        timeouts: Timeouts,
        model: str,
        provider: str,
        used: WeakSet[object] | None = None,
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
        self._used: WeakSet[object] = WeakSet() if used is None else used

    async def stream(self, call: ModelCall) -> AsyncIterator[Sequence[Delta] | Done]:
        """As the port says."""
        reading = Reading()
        try:
            async with aclosing(self._groups(call, reading)) as groups:  # type: ignore[type-var]
                async for group in groups:
                    yield group
        except TimeoutError:
            # Some endpoints leave the connection open behind a whole answer, others break it off.
            if not reading.complete:
                raise self._told(_silent(reading), reading) from None
        except (aiohttp.ClientError, OSError) as error:
            if not reading.complete:
                failure = ProviderUnavailable(
                    "the model's provider can't be reached, or closed its answer early; try again"
                )
                failure.said = self._said(f"{type(error).__name__}: {error}")
                raise self._told(failure, reading) from None
        except ProviderFailure as error:
            raise self._told(error, reading) from None
        try:
            done = reading.done()
        except ProviderFailure as error:
            raise self._told(error, reading) from None
        yield done

    def _told(self, error: ProviderFailure, reading: Reading) -> ProviderFailure:
        """The failure with all that is known of it."""
        error.metadata = {**self._about, **error.metadata}
        error.said = self._said(error.said)
        error.upstream_request_id = reading.upstream_request_id
        return error

    async def _groups(self, call: ModelCall, reading: Reading) -> AsyncIterator[Sequence[Delta]]:
        async with asyncio.timeout(self._timeouts.connect) as limit:
            async with await self._asked(request_body(call), reading, limit, call.connected) as response:
                reading.upstream_request_id = self._said(response.headers.get("x-request-id", ""))
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

    async def _asked(
        self,
        pieces: Sequence[bytes | Picture],
        reading: Reading,
        limit: asyncio.Timeout,
        connected: Callable[[], None],
    ) -> aiohttp.ClientResponse:
        loop = asyncio.get_running_loop()

        def reached() -> None:
            # What writes may get here when nobody waits any more, and then there is no time to set.
            with suppress(RuntimeError):
                limit.reschedule(loop.time() + self._timeouts.first_token)
                reading.connected = True
                connected()

        sent = Body(pieces, reached, self._used)
        try:
            return await self._post(sent)
        except (aiohttp.ServerDisconnectedError, ConnectionResetError):
            # An endpoint may close a connection that was kept open in the very moment in which it is used again. Whoever closes a new
            # one has taken the request, and may have worked on it: asking again is then for others to decide.
            if not sent.over_used:
                raise
        reading.connected = False
        limit.reschedule(loop.time() + self._timeouts.connect)
        return await self._post(Body(pieces, reached, self._used))

    async def _post(self, body: Body) -> aiohttp.ClientResponse:
        return await self._session.post(
            self._url,
            data=body,
            headers=self._headers,
            timeout=_UNTIMED,
            allow_redirects=False,
            # What is compressed arrives in blocks instead of tokens, and may be a bomb.
            auto_decompress=False,
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
        refusal = Refusal(response.status, response.headers, await _beginning(response))
        raise refusal.failure(self._about["model"], self._key)


def _silent(reading: Reading) -> ProviderTimeout:
    if reading.began:
        stage = "between_tokens"
    elif reading.connected:
        stage = "first_token"
    else:
        stage = "connect"
    return ProviderTimeout(
        f"the model's provider was silent for too long ({stage.replace('_', ' ')}); try again or choose another model",
        metadata={"stage": stage},
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
    if response.content.is_eof():
        return
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(_END_SECONDS):
            async for _ in response.content.iter_any():
                pass
