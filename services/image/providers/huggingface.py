"""Hugging Face's inference: an image is what a POST of its prompt answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from services.image.ports import ProviderCall, ProviderImage
from services.image.providers.attempts import attempt
from services.image.providers.exchange import Exchange


class HuggingFaceImages:
    """A model of Hugging Face, asked for one image after the other."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def generate(self, call: ProviderCall) -> AsyncIterator[ProviderImage]:
        """As the port says."""
        with attempt(self._exchange) as it:
            for index in range(call.count):
                content = {"inputs": call.prompt, "parameters": _parameters(call, index)}
                yield ProviderImage(await it.post_image(f"/models/{quote(call.upstream)}", content))
                it.let_go()


def _parameters(call: ProviderCall, index: int) -> dict[str, Any]:
    parameters: dict[str, Any] = {"width": call.size.width, "height": call.size.height}
    if call.seed is not None:
        parameters["seed"] = call.seed + index
    if call.negative_prompt:
        parameters["negative_prompt"] = call.negative_prompt
    return parameters
