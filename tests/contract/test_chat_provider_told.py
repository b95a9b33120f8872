"""What the OpenAI-compatible provider tells of a call beside its answer: to whoever asks again, and to the log."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from services.capabilities.upstream.errors import (
    ProviderCredential,
    ProviderFailure,
    ProviderModelGone,
    ProviderRateLimited,
    ProviderUnavailable,
)
from services.chat.providers.openai import OpenAIProvider
from tests.fakes.chat_endpoints import (
    KEY,
    PATIENT,
    answering_with,
    call,
    read,
    refusal,
    said,
    sending,
    serving,
)
from tests.fakes.chat_play import until
from tests.fakes.chat_upstream import Exchange, Script, event, text


async def _silent(exchange: Exchange) -> None:
    await exchange.gone.wait()


@pytest.mark.parametrize("code", ["model_not_found", "unknown_model"])
async def test_a_model_that_is_gone_is_told_by_its_code_as_well(code: str) -> None:
    body = json.dumps({"error": {"message": "no such model", "code": code}}).encode()
    error = await refusal(answering_with(400, "application/json", body))
    assert type(error) is ProviderModelGone
    assert error.reason == "MODEL_NOT_READY"
    assert "base_url" in error.metadata["detail"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [("insufficient_quota", ProviderCredential), ("rate_limit_exceeded", ProviderRateLimited)],
)
async def test_what_is_used_up_is_no_limit_that_passes(code: str, kind: type[ProviderFailure]) -> None:
    body = json.dumps({"error": {"message": "see your plan", "type": code, "code": code}}).encode()
    error = await refusal(answering_with(429, "application/json", body, Retry_After="7"))
    assert type(error) is kind
    assert isinstance(error, ProviderFailure)
    spent = kind is ProviderCredential
    assert (error.asked_pause, error.retry_after) == ((None, None) if spent else (7.0, 7.0))


@pytest.mark.parametrize(
    "script",
    [
        answering_with(500, "text/plain", b"oops", x_request_id="up-1"),
        answering_with(400, "application/json", said("too long"), x_request_id="up-1"),
        answering_with(200, "text/html", b"<html>", x_request_id="up-1"),
        answering_with(200, "text/event-stream", b"data: {broken\n\n", x_request_id="up-1"),
        answering_with(200, "text/event-stream", event({"error": {"message": "x"}}), x_request_id="up-1"),
        answering_with(200, "text/event-stream", event(text("a")), x_request_id="up-1"),
    ],
)
async def test_a_failure_has_the_providers_own_id_of_the_call(script: Script) -> None:
    error = await refusal(script)
    assert isinstance(error, ProviderFailure)
    assert error.upstream_request_id == "up-1"
    assert "up-1" not in f"{error.message} {error.metadata}"


async def test_a_failure_keeps_the_providers_words_for_the_log() -> None:
    for script in (
        answering_with(500, "application/json", said(f"the GPU of {KEY} is on fire")),
        sending(event({"error": {"message": f"the GPU of {KEY} is on fire"}})),
        answering_with(200, "application/json", said(f"the GPU of {KEY} is on fire")),
    ):
        error = await refusal(script)
        assert isinstance(error, ProviderFailure)
        assert error.said == "the GPU of … is on fire"
        assert "GPU" not in error.message


@pytest.mark.parametrize(
    ("status", "header", "asked"),
    [(429, "7", 7.0), (503, "7", 7.0), (429, "", None), (503, "soon", None), (500, "7", None)],
)
async def test_only_a_pause_that_was_asked_for_is_one(status: int, header: str, asked: float | None) -> None:
    error = await refusal(answering_with(status, "application/json", b"{}", Retry_After=header))
    assert isinstance(error, ProviderFailure)
    assert error.asked_pause == asked
    assert error.retry_after is not None


async def test_who_asks_is_told_once_the_endpoint_is_reached() -> None:
    reached = asyncio.Event()
    async with serving(_silent) as (provider, endpoint):
        task = asyncio.create_task(read(provider, call(connected=reached.set)))
        await asyncio.wait_for(reached.wait(), 2)
        await until(lambda: endpoint.exchanges)
        task.cancel()
        await asyncio.wait([task])
    reached.clear()
    async with aiohttp.ClientSession() as session:
        gone = OpenAIProvider(session, "http://127.0.0.1:9/v1", KEY, PATIENT, "m", "p")
        with pytest.raises(ProviderUnavailable):
            await read(gone, call(connected=reached.set))
    assert not reached.is_set()
