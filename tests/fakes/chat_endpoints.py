"""The OpenAI-compatible provider on endpoints that play a script, and what is asked of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from services.chat.model import (
    Delta,
    Message,
    Parameters,
    Role,
    TextDelta,
)
from services.chat.ports import Done, ModelCall, Provider
from services.chat.providers.openai import OpenAIProvider, Timeouts
from services.kernel.errors import ServiceError
from tests.fakes.chat_upstream import Exchange, Script, Upstream, event, stop, text, upstream, used

KEY = "sk-very-secret-key-0123456789"
PATIENT = Timeouts(5, 5, 5)


def call(words: str = "Hola", **changes: Any) -> ModelCall:
    given: dict[str, Any] = {"parameters": Parameters(), "tools": (), **changes}
    return ModelCall("model-1", [Message("", Role.USER, (words,))], **given)


async def read(provider: Provider, asked: ModelCall | None = None) -> tuple[list[Delta], Done]:
    """A whole answer: its deltas and its end."""
    async with aclosing(provider.stream(asked or call())) as stream:  # type: ignore[type-var]
        items = [item async for item in stream]
    *groups, done = items
    assert isinstance(done, Done)
    found: list[Delta] = []
    for group in groups:
        assert not isinstance(group, Done)
        found += group
    return found, done


def words(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


@asynccontextmanager
async def serving(
    script: Script, timeouts: Timeouts = PATIENT, key: str | None = KEY
) -> AsyncIterator[tuple[OpenAIProvider, Upstream]]:
    """The provider on an endpoint that plays a script."""
    async with upstream(script) as endpoint, aiohttp.ClientSession() as session:
        yield OpenAIProvider(session, endpoint.base_url, key, timeouts, "the-model", "the-provider"), endpoint


async def refusal(script: Script, timeouts: Timeouts = PATIENT) -> ServiceError:
    """How the provider fails on an endpoint that plays a script. Neither the failure nor the log has the key."""
    with capture_logs() as logs:
        async with serving(script, timeouts) as (provider, _):
            with pytest.raises(ServiceError) as refused:
                await read(provider)
    error = refused.value
    assert KEY not in f"{error.message} {error.metadata} {logs}"
    assert error.metadata["model"] == "the-model"
    assert error.metadata["provider"] == "the-provider"
    return error


def sending(*blocks: bytes, end: bool = True) -> Script:
    """A stream in exactly these packets."""

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        for block in blocks:
            await exchange.chunk(block)
            await asyncio.sleep(0)
        if end:
            await exchange.end()
        else:
            await exchange.gone.wait()

    return script


async def answer(*blocks: bytes) -> tuple[list[Delta], Done]:
    async with serving(sending(*blocks)) as (provider, _):
        return await read(provider)


DONE = b"data: [DONE]\n\n"


def answering_with(status: int, kind: str, body: bytes, **headers: str) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(status, kind, body, **headers)

    return script


def said(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "x"}}).encode()


def calls(*pieces: dict[str, Any]) -> bytes:
    """An event that has pieces of tool calls."""
    return event({"choices": [{"delta": {"content": None, "tool_calls": list(pieces)}}]})


async def hello(exchange: Exchange) -> None:
    await exchange.says(
        text("You wrote: "), text(exchange.json["messages"][-1]["content"]), stop(), used(3, 2)
    )
