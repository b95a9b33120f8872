"""StreamChat with nothing behind it: what the upstream sends goes to the caller, unauthenticated and unrecorded. `python -m bench.relay URL`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import aiohttp
import grpc
import uvloop
from antiphon.chat.v1 import chat_pb2, chat_pb2_grpc

from bench.stage import MODEL
from services.chat.model import Message, Parameters, Role
from services.chat.ports import Done, ModelCall
from services.chat.providers.openai import OpenAIProvider, Timeouts


class Relay(chat_pb2_grpc.ChatServiceServicer):
    """Reads as the suite does; what arrived in one read goes out as one event."""

    def __init__(self, provider: OpenAIProvider) -> None:
        self._provider = provider

    async def StreamChat(  # noqa: N802 - gRPC's name for it.
        self, request: chat_pb2.StreamChatRequest, context: Any
    ) -> AsyncIterator[chat_pb2.StreamChatResponse]:
        """One answer."""
        parameters = Parameters(
            temperature=request.parameters.temperature, max_output_tokens=request.parameters.max_output_tokens
        )
        call = ModelCall(MODEL, [Message("", Role.USER, (request.message,))], parameters, ())
        seq = 0
        async with aclosing(self._provider.stream(call)) as groups:  # type: ignore[type-var]
            async for group in groups:
                if isinstance(group, Done) or not group:
                    continue
                first, seq = seq + 1, seq + len(group)
                text = "".join(delta.text for delta in group if hasattr(delta, "text"))
                event = chat_pb2.ChatEvent(first_seq=first, seq=seq, text_delta=chat_pb2.TextDelta(text=text))
                yield chat_pb2.StreamChatResponse(event=event)


async def main(url: str) -> None:
    """Serve on a free port, and tell which."""
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        server = grpc.aio.server()
        provider = OpenAIProvider(session, url, None, Timeouts(5, 60, 60), MODEL, MODEL)
        chat_pb2_grpc.add_ChatServiceServicer_to_server(Relay(provider), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        print(f"ready {port}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
