"""Sessions for servers that the operator named, such as those of models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from services.infra.http.resolving import JudgedNames, SystemNames


@asynccontextmanager
async def open_session() -> AsyncIterator[aiohttp.ClientSession]:
    """A session for providers that take seconds for an answer, so that a new connection for each call costs nothing, and none can be closed
    by the other side in the moment of its use. No cookie of one call is sent with another. Names are looked up in threads of its own.
    """
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
