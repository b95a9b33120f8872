"""One model asked for images: how long, how often, and what the failure says of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from services.capabilities.upstream.errors import ProviderFailure, ProviderProtocol, ProviderTimeout
from services.capabilities.upstream.repeating import pause_before_repeating
from services.image.ports import CatalogModel, ProviderCall, ProviderImage

# A provider's adapter has the same time, and more to tell of what it waited for.
_TELLING_SECONDS = 1.0


async def generated(
    model: CatalogModel,
    call: ProviderCall,
    retries: int,
    failed: Callable[[ProviderFailure], None],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> AsyncGenerator[ProviderImage, None]:
    """What the model makes, each image as soon as it has come. A provider that is busy or can't be reached is asked again, so often at
    most, after a pause that it may choose, and for what is missing alone; one that was silent is not: it may be at work on the call, and be
    paid for it.

    `failed` is told of each attempt that failed. Raises ProviderFailure with the model's and the provider's names. Whoever iterates closes
    the iterator, and bounds the whole.
    """
    made = 0
    for attempt in range(retries + 1):
        seed = None if call.seed is None else call.seed + made
        left = replace(call, count=call.count - made, seed=seed)
        try:
            async with aclosing(_once(model, left)) as images:
                async for image in images:
                    made += 1
                    yield image
                    # Nobody else is to hold it while the next one is made.
                    del image
            return
        except ProviderFailure as error:
            error.metadata = {"model": model.name, "provider": model.provider_name, **error.metadata}
            failed(error)
            pause = pause_before_repeating(error, attempt)
            if attempt == retries or pause is None:
                raise
        await sleep(pause)


async def _once(model: CatalogModel, call: ProviderCall) -> AsyncGenerator[ProviderImage, None]:
    """One attempt. What is done with an image while it is held does not count as the provider's time."""
    loop, used, made = asyncio.get_running_loop(), 0.0, 0
    images = model.provider.generate(call)
    async with aclosing(images):  # type: ignore[type-var]
        while made < call.count:
            began = loop.time()
            try:
                async with asyncio.timeout(model.timeout + _TELLING_SECONDS - used):
                    image = await anext(images, None)
            except TimeoutError:
                raise _silent(model) from None
            used += loop.time() - began
            if image is None:
                raise ProviderProtocol(f"the model's provider made {made} images instead of {call.count}")
            made += 1
            yield image
            del image


def _silent(model: CatalogModel) -> ProviderTimeout:
    return ProviderTimeout(
        f"the model's provider has not made the images within {model.timeout:g} s; try again, or a smaller size",
        metadata={"stage": "total"},
    )
