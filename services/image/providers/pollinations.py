"""Pollinations: an image is what a GET of its prompt answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote, urlencode

from services.capabilities.upstream.errors import ProviderRefused
from services.image.ports import ProviderCall, ProviderImage
from services.image.providers.attempts import attempt
from services.image.providers.exchange import Exchange

# Proxies refuse longer addresses.
_LONGEST_PATH = 7500


class PollinationsImages:
    """A model of Pollinations. It is asked for one image after the other: callers without an account may have one call at a time."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def generate(self, call: ProviderCall) -> AsyncIterator[ProviderImage]:
        """As the port says."""
        paths = [_path(call, index) for index in range(call.count)]
        with attempt(self._exchange) as it:
            for path in paths:
                yield ProviderImage(await it.get_image(path))
                it.let_go()


def _path(call: ProviderCall, index: int) -> str:
    parameters: dict[str, str | int] = {
        "model": call.upstream,
        "width": call.size.width,
        "height": call.size.height,
        "nologo": "true",
        # Else the image is shown to everybody, in a feed.
        "private": "true",
    }
    if call.seed is not None:
        parameters["seed"] = call.seed + index
    if call.negative_prompt:
        parameters["negative_prompt"] = call.negative_prompt
    # A segment of dots alone would lead elsewhere.
    prompt = call.prompt if call.prompt.strip(".") else f"{call.prompt} "
    path = f"/{quote(prompt, safe='')}?{urlencode(parameters)}"
    if len(path) > _LONGEST_PATH:
        raise ProviderRefused(
            "the prompt is too long for this model, whose provider takes it as an address; shorten it, or choose another model"
        )
    return path
