"""What becomes of a stream whose caller goes away in the middle of a write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from antiphon.chat.v1 import chat_pb2

from services.runtime.adapter import servicer_call
from services.runtime.call import Call, Method

closed: list[str] = []


async def answers(request: object, context: object) -> AsyncIterator[chat_pb2.StreamChatResponse]:
    try:
        yield chat_pb2.StreamChatResponse()
        yield chat_pb2.StreamChatResponse()
    finally:
        closed.append("closed")


async def test_a_connection_that_breaks_in_a_write_is_a_caller_who_has_left() -> None:
    written = 0

    async def write(response: object) -> None:
        nonlocal written
        if written:
            raise grpc.aio.InternalError("failed to write")
        written += 1

    method = SimpleNamespace(
        path="/antiphon.chat.v1.ChatService/StreamChat",
        behavior=answers,
        response_streaming=True,
        response_class=chat_pb2.StreamChatResponse,
    )
    call: Any = SimpleNamespace(message=None, context=SimpleNamespace(write=write), sent=0)
    with pytest.raises(asyncio.CancelledError):
        await servicer_call(cast("Method", method))(cast("Call", call))
    assert (call.sent, closed) == (1, ["closed"])
