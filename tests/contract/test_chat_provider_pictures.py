"""Pictures on their way to a model."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from random import Random

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chat.model import Image, Message, Parameters, Picture, Role
from services.chat.ports import ModelCall
from services.chat.providers import sending
from services.chat.providers.openai import OpenAIProvider
from services.chat.providers.request import request_body
from tests.fakes.chat_endpoints import PATIENT, read, serving
from tests.fakes.chat_pictures import JPEG, PNG, at
from tests.fakes.chat_upstream import Exchange, stop, text

ONE, TWO = at("https://a.b/1"), at("https://a.b/2")
PICTURES = {ONE: Picture(PNG, "image/png"), TWO: Picture(JPEG, "image/jpeg")}


def asked(*messages: Message, pictures: dict[Image, Picture] | None = None) -> ModelCall:
    return ModelCall("model-1", messages, Parameters(), (), PICTURES if pictures is None else pictures)


def url(picture: Picture) -> dict[str, object]:
    encoded = b64encode(picture.data).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{picture.content_type};base64,{encoded}"}}


async def seen(exchange: Exchange) -> None:
    await exchange.says(text("a cat"), stop())


async def test_a_model_gets_texts_and_pictures_in_their_order() -> None:
    call = asked(
        Message("", Role.USER, ('This "one"?', ONE, "or", TWO, ONE)),
        Message("", Role.ASSISTANT, ("fine",)),
        Message("", Role.USER, (TWO,)),
    )
    async with serving(seen) as (provider, endpoint):
        await read(provider, call)
    (exchange,) = endpoint.exchanges
    one, two = url(PICTURES[ONE]), url(PICTURES[TWO])
    assert exchange.json["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": 'This "one"?'},
                one,
                {"type": "text", "text": "or"},
                two,
                one,
            ],
        },
        {"role": "assistant", "content": "fine"},
        {"role": "user", "content": [two]},
    ]
    assert exchange.headers["content-type"] == "application/json"
    assert int(exchange.headers["content-length"]) == len(exchange.body)


async def test_a_body_without_pictures_is_one_piece() -> None:
    assert len(request_body(asked(Message("", Role.USER, ("a", "b")), pictures={}))) == 1


@given(
    st.sampled_from([0, 1, 2, 3, 4, 48 * 1024 - 1, 48 * 1024, 48 * 1024 + 1, 100_000]), st.binary(max_size=8)
)
def test_a_picture_in_pieces_is_the_picture(size: int, more: bytes) -> None:
    data = Random(size).randbytes(size) + more
    body = sending.Body([b"<", Picture(data, "image/png"), b">"], lambda: None, set())  # type: ignore[arg-type]
    assert body.decode() == f"<{b64encode(data).decode()}>"
    assert body.size == len(body.decode())


async def test_a_connection_that_was_closed_meanwhile_gets_the_pictures_again() -> None:
    """The endpoint closes a connection that was kept open in the moment in which it is used again."""

    async def once(exchange: Exchange) -> None:
        if len(endpoint.exchanges) == 2:
            exchange.reset()
            return
        await seen(exchange)

    async with serving(once) as (provider, endpoint):
        await read(provider, asked(Message("", Role.USER, (ONE,))))
        await read(provider, asked(Message("", Role.USER, (ONE, TWO))))
    assert endpoint.exchanges[-1].json["messages"][0]["content"] == [url(PICTURES[ONE]), url(PICTURES[TWO])]


@pytest.mark.long
async def test_large_pictures_do_not_hold_the_loop() -> None:
    large = Picture(PNG + bytes(5 * 1024**2), "image/png")
    images = [at(f"https://a.b/{number}") for number in range(10)]
    call = asked(Message("", Role.USER, tuple(images)), pictures=dict.fromkeys(images, large))
    received, gaps, before = 0, [0.0], time.monotonic()
    whole = asyncio.Event()

    async def drain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # It is in this very loop, so that each of its turns shows how long the others have taken.
        nonlocal received, before
        while block := await reader.read(65_536):
            received += len(block)
            if received >= 10 * 5 * 1024**2 * 4 / 3:
                whole.set()
            if received > len(block):
                gaps.append(time.monotonic() - before)
            before = time.monotonic()

    server = await asyncio.start_server(drain, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, aiohttp.ClientSession() as session:
        provider = OpenAIProvider(session, address, None, PATIENT, "the-model", "the-provider")
        asking = asyncio.create_task(read(provider, call))
        async with asyncio.timeout(20):
            await whole.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert max(gaps) < 0.05
