"""Connections to a provider are kept, and a provider may close them at any time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from services.capabilities.upstream.errors import ProviderUnavailable
from services.chat.model import FinishReason, Message, Parameters, Role, TextDelta
from services.chat.ports import Done, ModelCall
from services.chat.providers.openai import OpenAIProvider, Timeouts

ANSWER = b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)
CALL = ModelCall("m", (Message("", Role.USER, ("hi",)),), Parameters(), ())


async def read_request(reader: asyncio.StreamReader) -> bool:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return False
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    await reader.readexactly(int(lengths[0].split(b":")[1]))
    return True


@asynccontextmanager
async def provider_of(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[OpenAIProvider]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, aiohttp.ClientSession() as session:
        yield OpenAIProvider(session, f"http://127.0.0.1:{port}/v1", None, Timeouts(5, 5, 5), "m", "p")


async def test_a_kept_connection_that_was_just_closed_costs_no_answer() -> None:
    requests = 0

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        if await read_request(reader):
            requests += 1
            writer.write(HEAD + ANSWER)
            # The next request over this connection is read, and meets its end.
            if await read_request(reader):
                requests += 1
        writer.close()

    async with provider_of(answer_once) as provider:
        for _ in range(2):
            items = [item async for item in provider.stream(CALL)]
            assert items == [[TextDelta("hi")], Done(FinishReason.STOP, None)]
    assert requests == 3


@pytest.mark.parametrize("answered_before", [0, 2])
@pytest.mark.parametrize("broken", [False, True])
async def test_who_takes_a_request_over_a_new_connection_and_closes_it_is_not_asked_again(
    answered_before: int, broken: bool
) -> None:
    requests = 0

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        if await read_request(reader):
            requests += 1
            if requests <= answered_before:
                writer.write(HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + ANSWER)
            elif broken:
                writer.transport.abort()
        writer.close()

    async with provider_of(die) as provider:
        for _ in range(answered_before):
            assert len([item async for item in provider.stream(CALL)]) == 2
        for number in range(1, 3):
            with pytest.raises(ProviderUnavailable):
                _ = [item async for item in provider.stream(CALL)]
            assert requests == answered_before + number
