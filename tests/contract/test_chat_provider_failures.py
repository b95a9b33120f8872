"""How the OpenAI-compatible provider meets endpoints that keep no promise: they refuse, break off, or are silent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
import zlib
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import pytest

from services.capabilities.upstream.errors import (
    ProviderCredential,
    ProviderModelGone,
    ProviderProtocol,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from services.chat.model import (
    TextDelta,
)
from services.chat.ports import Done
from services.chat.providers.openai import OpenAIProvider, Timeouts
from services.kernel.errors import ServiceError
from tests.fakes.chat_endpoints import (
    KEY,
    PATIENT,
    answering_with,
    call,
    calls,
    hello,
    read,
    refusal,
    said,
    sending,
    serving,
    words,
)
from tests.fakes.chat_play import until
from tests.fakes.chat_upstream import Exchange, Script, event, stop, text, upstream


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ProviderRefused),
        (401, ProviderCredential),
        (402, ProviderCredential),
        (403, ProviderCredential),
        (404, ProviderModelGone),
        (408, ProviderUnavailable),
        (422, ProviderRefused),
        (429, ProviderRateLimited),
        (500, ProviderUnavailable),
        (503, ProviderUnavailable),
    ],
)
@pytest.mark.parametrize(
    "body", [said(f"no such thing for {KEY}"), b"<html>oops</html>", b"", b"\xff\0" * 99_999]
)
async def test_a_status_is_told_as_what_it_means(status: int, kind: type[ServiceError], body: bytes) -> None:
    error = await refusal(answering_with(status, "application/json", body))
    assert type(error) is kind
    assert error.metadata["http_status"] == str(status)
    if kind is ProviderRefused and b"no such" in body:
        assert "no such thing for …" in error.message


async def test_a_refusal_in_pieces_is_read_whole() -> None:
    async def slowly(exchange: Exchange) -> None:
        await exchange.head(400, "application/json")
        for byte in said("the model 'x' does not exist"):
            await exchange.chunk(bytes([byte]))
        await exchange.end()

    error = await refusal(slowly)
    assert "the model 'x' does not exist" in error.message


async def test_a_refusal_counts_even_if_its_body_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.chat.providers.openai._ERROR_SECONDS", 0.05)

    async def hangs(exchange: Exchange) -> None:
        await exchange.head(401, "application/json")
        await exchange.gone.wait()

    assert type(await refusal(hangs)) is ProviderCredential


async def test_words_of_a_provider_are_fit_for_logs_and_statuses() -> None:
    error = await refusal(
        answering_with(400, "application/json", rb'{"error":{"message":"a\u0000b\ud83d\nc"}}')
    )
    assert error.message.endswith(": a b c")
    assert len((await refusal(answering_with(400, "application/json", said("x" * 9999)))).message) < 500


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ("7", 7, 7),
        ("0.5", 0.5, 0.5),
        ("-3", 0, 0),
        ("99999999", 3600, 3600),
        ("nan", 1, 60),
        ("soon", 1, 60),
        ("", 1, 60),
        ("in five minutes", 200, 300),
        ("a day ago", 0, 0),
    ],
)
async def test_retry_after_is_passed_on(header: str, low: float, high: float) -> None:
    now = datetime.now(UTC)
    dates = {"in five minutes": now + timedelta(seconds=300), "a day ago": now - timedelta(days=1)}
    if header in dates:
        header = format_datetime(dates[header], usegmt=True)
    error = await refusal(answering_with(429, "application/json", b"{}", Retry_After=header))
    assert error.retry_after is not None
    assert low <= error.retry_after <= high


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (answering_with(200, "application/json", said("overloaded")), ProviderUnavailable),
        (answering_with(200, "text/event-stream", said("overloaded")), ProviderUnavailable),
        (answering_with(200, "application/json", b'{"id": "x"}'), ProviderProtocol),
        (answering_with(200, "text/html", b"<html>welcome</html>"), ProviderProtocol),
        (answering_with(200, "text/event-stream", b""), ProviderProtocol),
        (answering_with(200, "text/event-stream", b"<html>welcome</html>"), ProviderProtocol),
        (sending(event(text("a")), b"data: {broken\n\n"), ProviderProtocol),
        (sending(event(text("a")), b"data: [1]\n\n"), ProviderProtocol),
        (sending(event({"choices": [{"delta": {"content": 5}}]})), ProviderProtocol),
        (sending(calls({"index": 2**40, "id": "c"})), ProviderProtocol),
        (sending(b"data: " + b"[" * 99_999 + b"\n\n"), ProviderProtocol),
        (sending(*[b"data: " + b"x" * 65_536] * 20), ProviderProtocol),
        (sending(*[b"x" * 65_536] * 20), ProviderProtocol),
        (sending(event(text("a")), event({"error": {"message": KEY}})), ProviderUnavailable),
        (sending(event(text("a"))), ProviderUnavailable),
        (sending(event(text("a")), b'data: {"choi'), ProviderUnavailable),
    ],
)
async def test_a_stream_that_is_none_is_told_as_what_it_is(script: Script, kind: type[ServiceError]) -> None:
    error = await asyncio.wait_for(refusal(script), 5)
    assert type(error) is kind


async def test_what_came_before_a_failure_is_delivered_even_if_it_came_with_it() -> None:
    script = sending(event(text("a")) + event(text("b")) + b"data: {broken\n\n")
    async with (
        serving(script) as (provider, _),
        aclosing(provider.stream(call())) as stream,  # type: ignore[type-var]
    ):
        assert await anext(stream) == [TextDelta("a"), TextDelta("b")]
        with pytest.raises(ProviderProtocol):
            await anext(stream)


async def test_a_stream_without_a_length_that_just_ends_was_closed_early() -> None:
    async def script(exchange: Exchange) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        await exchange.raw(head + event(text("a")) + b'data: {"choices": [{"del')
        exchange.writer.close()

    assert type(await refusal(script)) is ProviderUnavailable


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200 OK\r\n", b"nonsense\r\n\r\n"])
async def test_a_connection_that_breaks_is_unavailable(before: bytes) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.raw(before)
        exchange.reset()

    assert type(await refusal(script)) is ProviderUnavailable


async def test_a_connection_that_breaks_mid_stream_is_unavailable() -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(event(text("a")))
        exchange.reset()

    assert type(await refusal(script)) is ProviderUnavailable


async def test_an_endpoint_that_is_not_there_is_unavailable() -> None:
    async with upstream(hello) as gone:
        address = gone.base_url
    async with aiohttp.ClientSession() as session:
        for base_url in (address, "http://no-such-host.invalid/v1"):
            provider = OpenAIProvider(session, base_url, KEY, PATIENT, "m", "p")
            with pytest.raises(ProviderUnavailable):
                await read(provider)


async def test_a_line_of_100_megabytes_is_read_no_further_than_an_event_may_be_long() -> None:
    sent = 0

    async def script(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.head()
        while sent < 100 * 2**20:
            await exchange.chunk(b"x" * 65_536)
            sent += 65_536

    assert type(await asyncio.wait_for(refusal(script), 5)) is ProviderProtocol
    # The rest is what sockets hold.
    assert sent < 20 * 2**20


async def test_a_redirect_is_not_followed() -> None:
    async with upstream(hello) as elsewhere:
        script = answering_with(307, "text/plain", b"", Location=f"{elsewhere.base_url}/chat/completions")
        assert type(await refusal(script)) is ProviderModelGone
        assert elsewhere.exchanges == []


async def test_a_compressed_answer_is_refused_unopened() -> None:
    bomb = zlib.compress(event(text("a" * 1000)) * 50_000)
    script = answering_with(200, "text/event-stream", bomb, Content_Encoding="deflate")
    assert type(await refusal(script)) is ProviderProtocol
    error = await refusal(answering_with(400, "application/json", bomb, Content_Encoding="deflate"))
    assert type(error) is ProviderRefused


# -- silence


async def _silent(exchange: Exchange) -> None:
    await exchange.gone.wait()


async def _murmuring(exchange: Exchange) -> None:
    await exchange.head()
    while not exchange.gone.is_set():
        await exchange.chunk(b": still here\n\n")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("script", "stage"),
    [
        (_silent, "first_token"),
        (sending(end=False), "first_token"),
        (
            sending(event({"choices": [{"delta": {"role": "assistant", "content": ""}}]}), end=False),
            "first_token",
        ),
        (_murmuring, "first_token"),
        (sending(event(text("a")), end=False), "between_tokens"),
        (sending(event(text("a")), b'data: {"half', end=False), "between_tokens"),
    ],
)
async def test_silence_is_not_waited_for_long(script: Script, stage: str) -> None:
    start = time.monotonic()
    error = await refusal(script, Timeouts(0.3, 0.1, 0.2))
    assert type(error) is ProviderTimeout
    assert error.metadata["stage"] == stage
    assert time.monotonic() - start < 2.5


async def test_the_time_for_the_first_token_begins_with_the_connection() -> None:
    start = time.monotonic()
    error = await refusal(_silent, Timeouts(30, 0.2, 30))
    assert error.metadata["stage"] == "first_token"
    assert 0.2 <= time.monotonic() - start < 2


async def test_a_model_that_is_reached_may_take_longer_than_the_connection() -> None:
    async def late(exchange: Exchange) -> None:
        await asyncio.sleep(0.3)
        await hello(exchange)

    async with serving(late, Timeouts(0.1, 5, 5)) as (provider, _):
        deltas, _ = await read(provider)
    assert words(deltas) == "You wrote: Hola"


async def test_a_connection_that_does_not_come_has_a_stage_of_its_own() -> None:
    # Its queue is full, so that no connection is ever accepted.
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        for _ in range(3):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(address)
        async with aiohttp.ClientSession() as session:
            provider = OpenAIProvider(
                session, f"http://127.0.0.1:{address[1]}/v1", KEY, Timeouts(0.1, 5, 5), "m", "p"
            )
            with pytest.raises(ProviderTimeout) as told:
                await read(provider)
    assert told.value.metadata["stage"] == "connect"


async def test_a_slow_but_steady_answer_is_waited_for() -> None:
    async def slowly(exchange: Exchange) -> None:
        await exchange.head()
        for _ in range(8):
            await exchange.chunk(event(text("a")))
            await asyncio.sleep(0.05)
        await exchange.chunk(event(stop()))
        await exchange.end()

    async with serving(slowly, Timeouts(0.1, 0.1, 0.2)) as (provider, _):
        deltas, _ = await read(provider)
    assert words(deltas) == "a" * 8


async def test_the_time_that_a_consumer_takes_is_no_silence() -> None:
    async def waits(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(event(text("a")))
        await taken.wait()
        await exchange.chunk(event(text("b")) + event(stop()))
        await exchange.end()

    taken = asyncio.Event()
    async with (
        serving(waits, Timeouts(0.05, 0.05, 0.05)) as (provider, _),
        aclosing(provider.stream(call())) as stream,  # type: ignore[type-var]
    ):
        first = await anext(stream)
        await asyncio.sleep(0.2)
        taken.set()
        rest = [item async for item in stream]
    assert first == [TextDelta("a")]
    assert rest[0] == [TextDelta("b")]
    assert isinstance(rest[-1], Done)


@pytest.mark.parametrize("ending", ["close", "cancel", "cancel before headers"])
async def test_the_socket_is_closed_as_soon_as_nobody_reads(ending: str) -> None:
    script = _silent if ending == "cancel before headers" else sending(event(text("a")), end=False)
    async with serving(script) as (provider, endpoint):

        async def consume() -> None:
            async with aclosing(provider.stream(call())) as stream:  # type: ignore[type-var]
                async for _ in stream:
                    began.set()
                    if ending == "close":
                        return

        began = asyncio.Event()
        task = asyncio.create_task(consume())
        if ending != "cancel before headers":
            await asyncio.wait_for(began.wait(), 2)
        await until(lambda: endpoint.exchanges)
        if ending != "close":
            task.cancel()
        await asyncio.wait([task])
        await asyncio.wait_for(endpoint.exchanges[0].gone.wait(), 1)
