"""Hugging Face's inference: an image is what a POST of its prompt answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from services.image.ports import ProviderCall, ProviderImage
from services.image.providers.exchange import Exchange


class HuggingFaceImages:
    """A model of Hugging Face, asked for one image after the other."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def generate(self, call: ProviderCall) -> Sequence[ProviderImage]:
        """As the port says."""
        async with self._exchange.attempt():
            return [ProviderImage(await self._asked(call, index)) for index in range(call.count)]

    async def _asked(self, call: ProviderCall, index: int) -> bytes:
        parameters: dict[str, Any] = {"width": call.size.width, "height": call.size.height}
        if call.seed is not None:
            parameters["seed"] = call.seed + index
        if call.negative_prompt:
            parameters["negative_prompt"] = call.negative_prompt
        data = await self._exchange.post(
            f"/models/{quote(call.upstream)}",
            {"inputs": call.prompt, "parameters": parameters},
            "image/png",
            self._exchange.image_bytes,
        )
        return self._exchange.checked(bytes(data))
