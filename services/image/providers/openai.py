"""Anything that speaks OpenAI's images API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from services.capabilities.upstream.errors import ProviderProtocol
from services.capabilities.upstream.refusals import readable
from services.image.errors import ImageUnusable
from services.image.ports import ProviderCall, ProviderImage
from services.image.providers.attempts import Attempt, attempt
from services.image.providers.exchange import Exchange
from services.image.providers.long_texts import LongTexts, NotBase64, NotShort, TooLong

# What an answer has besides its images.
_AROUND_BYTES = 64 * 1024
_PROMPT_LENGTH = 4000


class _Made(msgspec.Struct):
    b64_json: str | None = None
    url: str | None = None
    revised_prompt: str | None = None


class _Answer(msgspec.Struct):
    data: list[_Made]


_decode = msgspec.json.Decoder(_Answer).decode


class OpenAIImages:
    """A model of an endpoint. `response_format` and `quality` are sent when they are not empty.

    The API itself takes no seed and no negative prompt; servers that do take them by these names, and the seed of one image at a time.
    """

    def __init__(self, exchange: Exchange, response_format: str = "", quality: str = "") -> None:
        self._exchange = exchange
        self._fixed = {"response_format": response_format, "quality": quality}

    async def generate(self, call: ProviderCall) -> AsyncIterator[ProviderImage]:
        """As the port says."""
        parts = [(call.count, {})] if call.seed is None else _one_by_one(call.seed, call.count)
        with attempt(self._exchange) as it:
            for count, more in parts:
                texts, made = await self._asked(it, call, count, more)
                for one in made:
                    yield ProviderImage(await self._data(it, one, texts), _revised(one, texts))
                    it.let_go(but=texts.held_bytes)

    async def _asked(
        self, it: Attempt, call: ProviderCall, count: int, more: dict[str, Any]
    ) -> tuple[LongTexts, list[_Made]]:
        content = {
            "model": call.upstream,
            "prompt": call.prompt,
            "n": count,
            "size": str(call.size),
            **{name: text for name, text in self._fixed.items() if text},
            **({"negative_prompt": call.negative_prompt} if call.negative_prompt else {}),
            **more,
        }
        limit = count * _digits(self._exchange.bounds.image_bytes) + _AROUND_BYTES
        try:
            texts = await it.post("/images/generations", content, limit)
            made = _decode(texts.end()).data
        except (NotShort, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise ProviderProtocol("the model's provider answered with what is no list of images") from None
        if len(made) < count:
            raise ProviderProtocol(f"the model's provider made {len(made)} images instead of {count}")
        return texts, made[:count]

    async def _data(self, it: Attempt, made: _Made, texts: LongTexts) -> bytes:
        if made.b64_json:
            try:
                return self._exchange.checked(texts.take(made.b64_json))
            except NotBase64:
                raise ProviderProtocol("the model's provider sent an image that is not in base64") from None
            except TooLong:
                limit = self._exchange.bounds.image_bytes
                raise ImageUnusable(
                    f"the model's provider sent an image of more than {limit} bytes", "bytes"
                ) from None
        if made.url:
            return await it.get_named_image(made.url)
        raise ProviderProtocol("the model's provider sent an image without its content")


def _one_by_one(seed: int, count: int) -> list[tuple[int, dict[str, Any]]]:
    return [(1, {"seed": seed + index}) for index in range(count)]


def _revised(made: _Made, texts: LongTexts) -> str:
    said = made.revised_prompt or ""
    # A book in its place is no prompt that was used.
    return "" if texts.is_long(said) else readable(said, _PROMPT_LENGTH)


def _digits(size: int) -> int:
    """The digits of base64 of so many bytes; some more, since one of them is often escaped."""
    return (size + 2) // 3 * 4 * 33 // 32
