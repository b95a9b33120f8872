"""What the providers behind HTTP have in common: how they are asked for a part of a text, and again, and how they fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import aiohttp

from services.capabilities.upstream.api import ProviderApi
from services.capabilities.upstream.errors import ProviderFailure, ProviderProtocol, ProviderTimeout
from services.capabilities.upstream.repeating import pause_before_repeating
from services.capabilities.upstream.telling import tell_failure
from services.infra.http import bodies
from services.infra.http.failures import TooLarge
from services.speech.errors import AudioUnusable

_WHAT = "audio"
_LOOKED_AT_BYTES = 64


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds for a connection, and for a part of a text with all that is asked for it; how often it is asked for again; the bytes that are
    taken of its audio."""

    connect: float
    total: float
    repetitions: int
    audio_bytes: int


@dataclass(frozen=True, slots=True)
class Request:
    """A part that is asked for. Of the answer at most `limit` bytes are taken."""

    path: str
    body: bytes
    content_type: str
    accept: str
    limit: int
    headers: Mapping[str, str] = field(default_factory=dict)


class Exchange:
    """The way to one model's API. `model` is the catalog's name, `provider` its provider's; `key` is sent as a bearer token when there is
    one. `sleep` is there for tests."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        base_url: str,
        key: str | None,
        model: str,
        provider: str,
        bounds: Bounds,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._api = ProviderApi(
            session, base_url=base_url, key=key, model=model, connect_seconds=bounds.connect
        )
        self._sleep = sleep
        self.base_url = self._api.base_url
        self.model = model
        self.provider = provider
        self.bounds = bounds

    async def answer(self, request: Request) -> bytes:
        """What the API answers, whole. A provider that is busy or can't be reached is asked again, after a pause that it may choose, as long as
        the time of a part allows it. Raises ProviderFailure, AudioUnusable among them."""
        loop = asyncio.get_running_loop()
        ends, attempt = loop.time() + self.bounds.total, 0
        while True:
            try:
                return await self._once(request, ends)
            except ProviderFailure as error:
                pause = pause_before_repeating(error, attempt)
                if attempt == self.bounds.repetitions or pause is None or loop.time() + pause >= ends:
                    raise
                self._tell(error, pause)
            await self._sleep(pause)
            attempt += 1

    def checked(self, data: bytes) -> bytes:
        """What may be audio; whatever else it is, who decodes it finds out. Raises ProviderProtocol for a text, and for nothing."""
        self._api.checked(data, _WHAT)
        if _is_text(data[:_LOOKED_AT_BYTES]):
            raise self._api.told_instead(data, _WHAT)
        return data

    def mistaken(self, what: str) -> ProviderProtocol:
        """The provider has sent what is not its protocol."""
        return ProviderProtocol(f"the model's provider {what}")

    async def _once(self, request: Request, ends: float) -> bytes:
        try:
            async with (
                asyncio.timeout_at(ends),
                self._api.posted(
                    request.path,
                    request.body,
                    content_type=request.content_type,
                    accept=request.accept,
                    headers=request.headers,
                ) as response,
            ):
                return await bodies.whole(response, request.limit)
        except aiohttp.ServerTimeoutError:
            raise self._late("could not be reached", "connect", self.bounds.connect) from None
        except TimeoutError:
            raise self._late("has not spoken", "total", self.bounds.total) from None
        except TooLarge as error:
            raise AudioUnusable(
                f"the model's provider sent more than {error.limit} bytes for one part of the text", "bytes"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._api.unreached(f"{type(error).__name__}: {error}") from None

    def _late(self, what: str, stage: str, seconds: float) -> ProviderTimeout:
        return ProviderTimeout(
            f"the model's provider {what} within {seconds:g} s; try again", metadata={"stage": stage}
        )

    def _tell(self, error: ProviderFailure, pause: float) -> None:
        tell_failure(
            "a provider did not speak, and is asked again",
            error,
            model=self.model,
            provider=self.provider,
            pause_seconds=round(pause, 3),
        )


def _is_text(start: bytes) -> bool:
    """Whether it can be read. All files of audio have bytes in their beginning that no text has."""
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        # A character may be cut at the end.
        if error.start < len(start) - 3:
            return False
        text = start[: error.start].decode()
    return all(one.isprintable() or one.isspace() for one in text)
