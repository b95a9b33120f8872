"""Bodies of answers, read up to a limit."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import aiohttp

from services.infra.http.failures import TooLarge
from services.kernel.budget import Share

_REFUSAL_BYTES = 64 * 1024
_REFUSAL_SECONDS = 2.0


def compressed(response: aiohttp.ClientResponse) -> bool:
    """Whether the body is packed, which may be a bomb; it was asked not to be."""
    return response.headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", "")


async def blocks(response: aiohttp.ClientResponse, limit: int) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises TooLarge, before anything is read of one that says how large it is, and what aiohttp raises for one that
    breaks off."""
    if (response.content_length or 0) > limit:
        raise TooLarge(limit)
    count = 0
    async for block in response.content.iter_any():
        count += len(block)
        if count > limit:
            raise TooLarge(limit)
        yield block


async def whole(response: aiohttp.ClientResponse, limit: int, share: Share | None = None) -> bytes:
    """The body. What is read is held in the `share`, and nothing more is read while that has no room. Raises what `blocks` does."""
    # It gives its bytes away uncopied.
    body = io.BytesIO()
    async with aclosing(blocks(response, limit)) as found:
        async for block in found:
            if share is not None:
                await share.grow(len(block))
            body.write(block)
    return body.getvalue()


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
