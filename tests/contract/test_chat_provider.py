"""What every Provider promises."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from services.capabilities.metering.model import Provenance, Unit
from services.chat.model import (
    FinishReason,
    Parameters,
)
from services.chat.ports import Done, Provider
from services.chat.providers.echo import EchoProvider
from tests.fakes.chat_endpoints import (
    call,
    hello,
    read,
    serving,
    words,
)
from tests.fakes.chat_upstream import Exchange, event, text


async def _endless(exchange: Exchange) -> None:
    await exchange.head()
    for _ in range(10_000):
        await exchange.chunk(event(text("word ")))
        await asyncio.sleep(0.005)


@pytest.fixture(params=["echo", "openai"])
async def answering(request: pytest.FixtureRequest) -> AsyncIterator[Provider]:
    """A provider that answers with what was asked."""
    if request.param == "echo":
        yield EchoProvider(0.0)
        return
    async with serving(hello) as (provider, _):
        yield provider


@pytest.fixture(params=["echo", "openai"])
async def endless(request: pytest.FixtureRequest) -> AsyncIterator[Provider]:
    """A provider that takes very long."""
    if request.param == "echo":
        yield EchoProvider(30.0)
        return
    async with serving(_endless) as (provider, _):
        yield provider


async def test_an_answer_is_deltas_and_then_its_end(answering: Provider) -> None:
    deltas, done = await read(answering, call("¿Qué es una orden inbound? 👋"))
    assert words(deltas).endswith("You wrote: ¿Qué es una orden inbound? 👋")
    assert done.finish_reason is FinishReason.STOP
    assert done.usage is not None
    assert done.usage.provenance is Provenance.REPORTED
    assert set(done.usage.quantities) == {Unit.INPUT_TOKENS, Unit.OUTPUT_TOKENS}


async def test_answers_made_at_once_do_not_mix(answering: Provider) -> None:
    answers = await asyncio.gather(*(read(answering, call(f"question-{n}")) for n in range(12)))
    for number, (deltas, _) in enumerate(answers):
        assert words(deltas).endswith(f"question-{number}")


async def test_the_first_delta_does_not_wait_for_the_others(endless: Provider) -> None:
    async with aclosing(endless.stream(call())) as stream:  # type: ignore[type-var]
        first = await asyncio.wait_for(anext(stream), 2)
    assert not isinstance(first, Done)
    assert first


async def test_an_iteration_can_be_closed_and_cancelled_at_once(endless: Provider) -> None:
    async def consume() -> None:
        async with aclosing(endless.stream(call())) as stream:  # type: ignore[type-var]
            async for _ in stream:
                began.set()

    began = asyncio.Event()
    task = asyncio.create_task(consume())
    await asyncio.wait_for(began.wait(), 2)
    task.cancel()
    start = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - start < 1


# -- echo


@pytest.mark.parametrize("asked", ["", " ", "a", " two  words \n", "\n\nx\n\n", "líne\tone\r\nlíne two  "])
async def test_echo_repeats_every_character(asked: str) -> None:
    deltas, _ = await read(EchoProvider(0), call(asked))
    assert words(deltas).endswith(f"You wrote: {asked}")
    assert words(deltas).startswith("This is echo")


async def test_echo_honours_limits_and_stops() -> None:
    deltas, done = await read(EchoProvider(0), call(parameters=Parameters(max_output_tokens=3)))
    assert (len(deltas), done.finish_reason) == (3, FinishReason.LENGTH)
    deltas, done = await read(EchoProvider(0), call("a ZZ YY", parameters=Parameters(stop=("YY", " ZZ"))))
    assert words(deltas).endswith("You wrote: a")
    assert done.finish_reason is FinishReason.STOP
    deltas, _ = await read(EchoProvider(0), call(parameters=Parameters(stop=("This",))))
    assert deltas == []


async def test_echo_paces_its_words() -> None:
    start = time.monotonic()
    deltas, _ = await read(EchoProvider(0.01), call(parameters=Parameters(max_output_tokens=6)))
    assert len(deltas) == 6
    assert time.monotonic() - start >= 0.05
