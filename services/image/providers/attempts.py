"""One attempt to have a provider make all images of a call: its bounds, and what its failures mean."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager

import aiohttp

from services.capabilities.upstream.errors import ProviderTimeout
from services.image.errors import ImageUnusable
from services.image.providers.exchange import Exchange
from services.image.providers.long_texts import LongTexts
from services.infra.http import bodies
from services.infra.http.public import FetchFailed, FetchTimedOut, NotPublic, TooLarge
from services.kernel.budget import Share


@contextmanager
def attempt(exchange: Exchange) -> Iterator[Attempt]:
    """An attempt; what it holds is let go of at the end of the block."""
    with exchange.budget.share() as share:
        yield Attempt(exchange, share)


class Attempt:
    """Its requests have the time of an attempt together, without that in which their images are worked on. What they read is held in the
    `share`; nothing is open between them. All of them raise what the port says."""

    def __init__(self, exchange: Exchange, share: Share) -> None:
        self._exchange = exchange
        self._share = share
        self._seconds_left = exchange.bounds.total

    async def post_image(self, path: str, content: object) -> bytes:
        """The image that the API answers a POST with."""
        limit = self._exchange.bounds.image_bytes
        async with self._bounded(), self._exchange.posted(path, content, "image/png") as response:
            return self._exchange.checked(await bodies.whole(response, limit, self._share))

    async def post(self, path: str, content: object, limit: int) -> LongTexts:
        """The JSON that the API answers, at most `limit` bytes. Raises NotShort as well."""
        texts = LongTexts(self._exchange.bounds.image_bytes)
        async with (
            self._bounded(),
            self._exchange.posted(path, content, "application/json") as response,
            aclosing(bodies.blocks(response, limit)) as blocks,
        ):
            async for block in blocks:
                texts.add(block)
                if texts.held_bytes > self._share.held_bytes:
                    await self._share.grow(texts.held_bytes - self._share.held_bytes)
        return texts

    async def get_image(self, path: str) -> bytes:
        """The image that the API answers a GET with."""
        async with self._bounded():
            return await self._exchange.got_image(path, self._share, self._seconds_left)

    async def get_named_image(self, url: str) -> bytes:
        """The image at an address that the API named."""
        async with self._bounded():
            return await self._exchange.named_image(url, self._share, self._seconds_left)

    def let_go(self, *, but: int = 0) -> None:
        """The last image is held no more, so many bytes still are."""
        self._share.shrink(self._share.held_bytes - but)

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._seconds_left):
                yield
        except aiohttp.ServerTimeoutError:
            raise self._exchange.late("connect") from None
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
            raise self._exchange.unreached(f"an image that it named: {error}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._exchange.unreached(f"{type(error).__name__}: {error}") from None
        finally:
            self._seconds_left -= time.monotonic() - began

    def _late(self, stage: str) -> ProviderTimeout:
        return self._exchange.late("room" if self._share.lacks_room else stage)
