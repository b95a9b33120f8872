"""One model asked for images: how long, how often, and what the failure says of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from services.capabilities.upstream.errors import (
    ProviderFailure,
    ProviderProtocol,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
)
from services.image.ports import CatalogModel, ProviderCall, ProviderImage

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
# Whoever asks to be left alone for longer is not asked again in this call.
_LONGEST_ASKED_PAUSE = 20.0
_PASSING = (ProviderRateLimited, ProviderUnavailable)


async def generated(
    model: CatalogModel,
    call: ProviderCall,
    retries: int,
    failed: Callable[[ProviderFailure], None],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Sequence[ProviderImage]:
    """What the model makes, as many images as were asked for. A provider that is busy or can't be reached is asked again, so often at most,
    after a pause that it may choose; one that was silent is not: it may be at work on the call, and be paid for it.

    `failed` is told of each attempt that failed. Raises ProviderFailure with the model's and the provider's names. Whoever awaits it bounds the whole by the caller's deadline.
    """
    for attempt in range(retries + 1):
        try:
            return await _once(model, call)
        except ProviderFailure as error:
            error.metadata = {"model": model.name, "provider": model.provider_name, **error.metadata}
            failed(error)
            pause = _pause(error, attempt)
            if attempt == retries or pause > _LONGEST_ASKED_PAUSE or not isinstance(error, _PASSING):
                raise
        await sleep(pause)
    raise AssertionError("the last attempt returns or raises")


async def _once(model: CatalogModel, call: ProviderCall) -> Sequence[ProviderImage]:
    try:
        async with asyncio.timeout(model.timeout):
            images = await model.provider.generate(call)
    except TimeoutError:
        raise ProviderTimeout(
            f"the model's provider has made no image within {model.timeout:g} s; try again, or a smaller size",
            metadata={"stage": "total"},
        ) from None
    if len(images) != call.count:
        raise ProviderProtocol(f"the model's provider made {len(images)} images instead of {call.count}")
    return images


def _pause(error: ProviderFailure, attempt: int) -> float:
    if error.asked_pause is not None:
        return max(0.0, error.asked_pause)
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)
    return float(longest * random.uniform(0.5, 1.0))  # noqa: S311 - it spreads attempts, and keeps no secret.
