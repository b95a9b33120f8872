"""Turns the bytes of requests into messages, and refuses those that are too large or no messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.message import DecodeError, Message

from services.kernel.errors import InvalidArgument, ResourceExhausted
from services.kernel.policy import Access
from services.runtime.call import Call, Method, Proceed

PUBLIC_BYTES = 64 * 1024
"""The most that RPCs take which look at no credential; what they ask for is an e-mail and a password."""


class Decoding:
    """gRPC itself takes a little more than `max_message_bytes`, so that most callers who send too much get an answer with details."""

    def __init__(self, max_message_bytes: int) -> None:
        self._limit = max_message_bytes

    def bind(self, method: Method, proceed: Proceed) -> Proceed:
        public = method.policy.access is Access.PUBLIC
        parse, limit = (
            method.request_class.FromString,
            min(self._limit, PUBLIC_BYTES) if public else self._limit,
        )

        def decode(data: bytes) -> Message:
            if len(data) > limit:
                raise ResourceExhausted(
                    f"The request has {len(data)} bytes, and {method.path} takes {limit} at most.",
                    reason="MESSAGE_TOO_LARGE",
                )
            try:
                return parse(data)
            except DecodeError:
                raise InvalidArgument(
                    f"These bytes are no {method.request_class.DESCRIPTOR.full_name}."
                ) from None

        async def decoded(call: Call, messages: AsyncIterator[bytes]) -> AsyncIterator[Message]:
            async for data in messages:
                call.received += 1
                yield decode(data)

        async def one(call: Call) -> Any:
            call.message = decode(call.message)
            call.received = 1
            return await proceed(call)

        async def many(call: Call) -> Any:
            call.message = decoded(call, call.message)
            return await proceed(call)

        return many if method.request_streaming else one
