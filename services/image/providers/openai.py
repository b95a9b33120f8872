"""Anything that speaks OpenAI's images API."""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import Sequence
from typing import Any

import msgspec

from services.capabilities.upstream.errors import ProviderProtocol
from services.capabilities.upstream.refusals import readable
from services.image.errors import ImageUnusable
from services.image.ports import ProviderCall, ProviderImage
from services.image.providers.exchange import Exchange
from services.image.providers.long_texts import LongTexts, NotShort

# What an answer has besides its images.
_AROUND_BYTES = 64 * 1024
_PROMPT_LENGTH = 4000
# A multiple of 4, in digits of base64.
_PIECE_DIGITS = 256 * 1024


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

    async def generate(self, call: ProviderCall) -> Sequence[ProviderImage]:
        """As the port says."""
        async with self._exchange.attempt():
            if call.seed is None:
                return await self._asked(call, call.count, {})
            images: list[ProviderImage] = []
            for index in range(call.count):
                images += await self._asked(call, 1, {"seed": call.seed + index})
            return images

    async def _asked(self, call: ProviderCall, count: int, more: dict[str, Any]) -> list[ProviderImage]:
        content = {
            "model": call.upstream,
            "prompt": call.prompt,
            "n": count,
            "size": str(call.size),
            **{name: text for name, text in self._fixed.items() if text},
            **({"negative_prompt": call.negative_prompt} if call.negative_prompt else {}),
            **more,
        }
        limit = count * _digits(self._exchange.image_bytes) + _AROUND_BYTES
        body = await self._exchange.post("/images/generations", content, "application/json", limit)
        # Megabytes of base64 take longer than the loop should stand still.
        texts, made = await asyncio.to_thread(_read, body, count)
        return [ProviderImage(await self._data(one, texts), _revised(one, texts)) for one in made]

    async def _data(self, made: _Made, texts: LongTexts) -> bytes:
        if made.b64_json:
            data = await asyncio.to_thread(_decoded, texts, made.b64_json, self._exchange.image_bytes)
            return self._exchange.checked(data)
        if made.url:
            return await self._exchange.named_image(made.url)
        raise ProviderProtocol("the model's provider sent an image without its content")


def _revised(made: _Made, texts: LongTexts) -> str:
    said = made.revised_prompt or ""
    # A book in its place is no prompt that was used.
    return "" if texts.is_long(said) else readable(said, _PROMPT_LENGTH)


def _read(body: bytearray, count: int) -> tuple[LongTexts, list[_Made]]:
    try:
        texts = LongTexts(body)
        made = _decode(texts.rest).data
    except (NotShort, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ProviderProtocol("the model's provider answered with what is no list of images") from None
    if len(made) < count:
        raise ProviderProtocol(f"the model's provider made {len(made)} images instead of {count}")
    return texts, made[:count]


def _decoded(texts: LongTexts, text: str, limit: int) -> bytes:
    """The bytes of base64, in pieces: each holds the interpreter for less than a millisecond."""
    data = bytearray()
    try:
        digits = texts.of(text)
        for start in range(0, len(digits), _PIECE_DIGITS):
            piece = bytes(digits[start : start + _PIECE_DIGITS])
            if b"=" in piece and start + _PIECE_DIGITS < len(digits):
                raise ValueError("it ends before its end")
            data += binascii.a2b_base64(piece, strict_mode=True)
            if len(data) > limit:
                break
    except ValueError:
        raise ProviderProtocol("the model's provider sent an image that is not in base64") from None
    if len(data) > limit:
        raise ImageUnusable(f"the model's provider sent an image of more than {limit} bytes", "bytes")
    return bytes(data)


def _digits(size: int) -> int:
    """The digits of base64 of so many bytes."""
    return (size + 2) // 3 * 4
