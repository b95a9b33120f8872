"""Connections to a provider are kept, and a provider may close them at any time."""

from __future__ import annotations

import asyncio

import aiohttp

from services.chat.model import FinishReason, Message, Parameters, Role, TextDelta
from services.chat.ports import Done, ModelCall
from services.chat.providers.openai import OpenAIProvider, Timeouts

ANSWER = b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)


async def read_request(reader: asyncio.StreamReader) -> bool:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return False
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    await reader.readexactly(int(lengths[0].split(b":")[1]))
    return True


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

    server = await asyncio.start_server(answer_once, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    call = ModelCall("m", (Message("", Role.USER, ("hi",)),), Parameters(), ())
    async with server, aiohttp.ClientSession() as session:
        provider = OpenAIProvider(session, f"http://127.0.0.1:{port}/v1", None, Timeouts(5, 5, 5), "m", "p")
        for _ in range(2):
            items = [item async for item in provider.stream(call)]
            assert items == [[TextDelta("hi")], Done(FinishReason.STOP, None)]
    assert requests == 3
