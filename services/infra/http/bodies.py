"""Bodies of answers, read up to a limit."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp

from services.infra.http.failures import TooLarge

_REFUSAL_BYTES = 64 * 1024
_REFUSAL_SECONDS = 2.0


def compressed(response: aiohttp.ClientResponse) -> bool:
    """Whether the body is packed, which may be a bomb; it was asked not to be."""
    return response.headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", "")


async def whole(response: aiohttp.ClientResponse, limit: int) -> bytearray:
    """The body, uncopied. Raises TooLarge, before anything is read of one that says how large it is, and what aiohttp raises for one that
    breaks off."""
    if (response.content_length or 0) > limit:
        raise TooLarge(limit)
    body = bytearray()
    async for block in response.content.iter_any():
        if len(body) + len(block) > limit:
            raise TooLarge(limit)
        body += block
    return body


async def beginning(response: aiohttp.ClientResponse) -> bytes:
    """The body of a refusal as far as it matters. The status counts, even if the body does not come."""
    body = bytearray()
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(_REFUSAL_SECONDS):
            async for block in response.content.iter_any():
                body += block
                if len(body) >= _REFUSAL_BYTES:
                    break
    return bytes(body[:_REFUSAL_BYTES])
