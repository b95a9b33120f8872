"""The providers of images on a server that plays a script, and how they fail there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from services.capabilities.upstream.errors import ProviderFailure
from services.image.model import Size
from services.image.ports import ImageProvider, ProviderCall, ProviderImage
from services.image.providers.adapters import Adapters
from services.image.providers.catalog import Endpoint
from services.image.providers.catalog_file import ChosenTimeouts, Protocol, ResponseFormat
from services.infra.http.public import PublicFetch
from services.infra.http.session import open_session
from services.kernel.budget import ByteBudget
from services.settings import ImageSettings
from tests.fakes.chat_play import until
from tests.fakes.image_upstream import PROTOCOLS, ImageUpstream, Play, image_upstream

KEY = "sk-very-secret-key-0123456789"
CALL = ProviderCall("up/stream", "a cat & a dog? 100% ☂", "dogs", Size(16, 8), "", 7, 2)
LIMIT = 100_000
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


@asynccontextmanager
async def providing(
    protocol: str,
    base_url: str,
    *,
    total: float = 5.0,
    connect: float = 5.0,
    limit: int = LIMIT,
    budget: ByteBudget | None = None,
    **changes: Any,
) -> AsyncIterator[ImageProvider]:
    """A provider; those with the same `budget` share it."""
    endpoint = Endpoint(
        model="the-model",
        provider="the-provider",
        protocol=Protocol(protocol),
        base_url=base_url,
        key=KEY,
        missing="",
        image_origins=(),
        response_format=ResponseFormat.B64_JSON,
        quality="",
        timeouts=ChosenTimeouts(connect, total),
    )
    fetch = PublicFetch(connect_seconds=connect)
    try:
        async with open_session() as session:
            adapters = Adapters(session, fetch, ImageSettings(max_image_bytes=limit), budget)
            yield adapters(replace(endpoint, **changes))
    finally:
        await fetch.aclose()


def coming(
    provider: ImageProvider, call: ProviderCall = CALL
) -> AbstractAsyncContextManager[AsyncIterator[ProviderImage]]:
    """The images of a call as they come; at the end of the block no more are wanted."""
    return aclosing(provider.generate(call))  # type: ignore[type-var]


async def made(provider: ImageProvider, call: ProviderCall = CALL) -> Sequence[ProviderImage]:
    """All images of a call."""
    async with coming(provider, call) as images:
        return [image async for image in images]


async def failure(
    protocol: str, *plays: Play, call: ProviderCall = CALL, closes: int = 0, **changes: Any
) -> tuple[ProviderFailure, ImageUpstream]:
    """How a call fails; so many sockets are closed before they were answered on. Neither the failure nor what is logged of it has the key."""
    async with image_upstream() as upstream:
        upstream.answers(*plays)
        async with providing(protocol, upstream.at(protocol), **changes) as provider:
            with pytest.raises(ProviderFailure) as failed:
                await made(provider, call)
            await until(lambda: upstream.closed == closes)
    error = failed.value
    assert KEY not in f"{error.message} {error.metadata} {error.said} {error.upstream_request_id}"
    return error, upstream
