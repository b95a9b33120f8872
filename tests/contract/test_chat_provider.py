"""What every Provider promises, and how the OpenAI-compatible one meets endpoints that keep no promise."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from services.capabilities.metering.model import Provenance, Unit
from services.chat.errors import (
    ProviderCredential,
    ProviderProtocol,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from services.chat.generation.live import assembled
from services.chat.mapping.events import events_from_bytes, events_to_bytes
from services.chat.model import (
    Delta,
    Event,
    FinishReason,
    Message,
    Parameters,
    ReasoningDelta,
    Role,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
)
from services.chat.ports import Done, ModelCall, Provider
from services.chat.providers.echo import EchoProvider
from services.chat.providers.openai import OpenAIProvider, Timeouts
from services.kernel.errors import ServiceError
from tests.fakes.chat_play import until
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


# -- what every provider promises


async def _endless(exchange: Exchange) -> None:
    await exchange.head()
    for _ in range(10_000):
        await exchange.chunk(event(text("word ")))
        await asyncio.sleep(0.005)


async def _hello(exchange: Exchange) -> None:
    await exchange.says(
        text("You wrote: "), text(exchange.json["messages"][-1]["content"]), stop(), used(3, 2)
    )


@pytest.fixture(params=["echo", "openai"])
async def answering(request: pytest.FixtureRequest) -> AsyncIterator[Provider]:
    """A provider that answers with what was asked."""
    if request.param == "echo":
        yield EchoProvider(0.0)
        return
    async with serving(_hello) as (provider, _):
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


# -- what is sent to an endpoint


async def test_a_request_has_what_the_call_has_and_nothing_else() -> None:
    asked = ModelCall(
        "model-1",
        [
            Message("", Role.SYSTEM, ("be brief",)),
            Message("", Role.USER, ("a", "b")),
            Message("", Role.ASSISTANT, (), tool_calls=(ToolCall("c1", "look", '{"x":1}'),)),
            Message("", Role.TOOL, ("found",), tool_call_id="c1"),
        ],
        Parameters(0.5, 0.9, 10, ("END",), 7, '{"type":"object"}'),
        (Tool("look", "looks", ""), Tool("find", "", '{"type":"object","properties":{"q":{}}}')),
    )
    async with serving(_hello) as (provider, endpoint):
        await read(provider, asked)
        await read(provider, call())
    full, plain = endpoint.exchanges
    assert full.line.startswith("POST /v1/chat/completions ")
    assert full.headers["authorization"] == f"Bearer {KEY}"
    assert full.headers["accept-encoding"] == "identity"
    assert full.json == {
        "model": "model-1",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "ab"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"x":1}'}}
                ],
            },
            {"role": "tool", "content": "found", "tool_call_id": "c1"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 10,
        "stop": ["END"],
        "seed": 7,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}},
        },
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "look",
                    "description": "looks",
                    "parameters": {"type": "object", "properties": {}},
                },
            },
            {
                "type": "function",
                "function": {
                    "name": "find",
                    "description": "",
                    "parameters": {"type": "object", "properties": {"q": {}}},
                },
            },
        ],
    }
    assert set(plain.json) == {"model", "messages", "stream", "stream_options"}


async def test_without_a_key_no_credential_is_sent() -> None:
    async with serving(_hello, key=None) as (provider, endpoint):
        await read(provider)
    assert "authorization" not in endpoint.exchanges[0].headers


async def test_calls_one_after_the_other_use_one_connection() -> None:
    async def ends_later(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(event(text("a")) + event(stop()) + DONE)
        await asyncio.sleep(0.001)
        await exchange.end()

    async with serving(_hello) as (provider, endpoint):
        for _ in range(4):
            await read(provider)
    assert endpoint.connections == 1
    async with serving(ends_later) as (provider, endpoint):
        for _ in range(8):
            await read(provider)
    assert endpoint.connections < 8


# -- streams as they come


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


async def test_usage_is_counted_in_units_that_do_not_overlap() -> None:
    details = {
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 5.0},
    }
    _, done = await answer(event(text("a")), event(stop("length")), event(used(10, 8, **details)), DONE)
    assert done.finish_reason is FinishReason.LENGTH
    assert done.usage is not None
    assert done.usage.quantities == {
        Unit.INPUT_TOKENS: 6,
        Unit.CACHED_INPUT_TOKENS: 4,
        Unit.OUTPUT_TOKENS: 3,
        Unit.REASONING_TOKENS: 5,
    }


@pytest.mark.parametrize("numbers", [(0, 0), (-5, -1), (10**30, 10**30)])
async def test_counts_that_are_none_are_left_out(numbers: tuple[int, int]) -> None:
    _, done = await answer(event(text("a")), event(stop()), event(used(*numbers)), DONE)
    assert done.usage is None


async def test_a_provider_that_tells_no_usage() -> None:
    deltas, done = await answer(event(text("a")), event(stop()), DONE)
    assert (words(deltas), done.usage) == ("a", None)


async def test_the_end_counts_without_its_marker() -> None:
    deltas, done = await answer(event(text("a")), event(stop("tool_calls")))
    assert (words(deltas), done.finish_reason) == ("a", FinishReason.TOOL_CALLS)


async def test_the_marker_counts_without_a_reason() -> None:
    deltas, done = await answer(event(text("a")), DONE)
    assert (words(deltas), done.finish_reason) == ("a", FinishReason.STOP)


async def test_a_whole_answer_counts_even_if_the_connection_stays_open_or_breaks() -> None:
    async def breaks(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(event(text("a")) + event(stop()))
        exchange.reset()

    quick = Timeouts(1, 1, 0.05)
    for script in (breaks, sending(event(text("a")), event(stop()), end=False)):
        async with serving(script, quick) as (provider, _):
            deltas, done = await asyncio.wait_for(read(provider), 2)
        assert (words(deltas), done.finish_reason) == ("a", FinishReason.STOP)


async def test_an_unknown_reason_and_unknown_fields_do_no_harm() -> None:
    odd = {
        "id": 1,
        "choices": [{"delta": {"content": "a", "role": "assistant", "x": [1, {}]}, "logprobs": None}],
    }
    nothing = [{"choices": []}, {"choices": None}, {}, {"choices": [{"delta": None}]}, {"error": None}]
    deltas, done = await answer(
        b": comment\n\ndata:\n\n", *(event(one) for one in [*nothing, odd, stop("whatever")]), DONE
    )
    assert (words(deltas), done.finish_reason) == ("a", FinishReason.STOP)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_bytes_may_be_cut_anywhere(size: int) -> None:
    raw = json.dumps(text("¡Olé! 👋 你好"), ensure_ascii=False)
    first, second = raw[: len(raw) // 2], raw[len(raw) // 2 :]
    # Two lines of data are one event, whose JSON may have a line feed between its words.
    split = json.dumps(text("x"), indent=0).replace("\n", "\r\ndata: ")
    stream = f"data: {first}{second}\r\n\r\ndata: {split}\r\n\r\n".encode() + event(stop()) + DONE
    deltas, _ = await answer(*(stream[at : at + size] for at in range(0, len(stream), size)))
    assert words(deltas) == "¡Olé! 👋 你好x"


async def test_what_arrives_together_is_one_group() -> None:
    async with (
        serving(sending(event(text("a")) * 50 + event(stop()) + DONE)) as (provider, _),
        aclosing(provider.stream(call())) as stream,  # type: ignore[type-var]
    ):
        groups = [item async for item in stream]
    assert [len(group) for group in groups if not isinstance(group, Done)] == [50]


async def test_nothing_is_held_back() -> None:
    async def turns(exchange: Exchange) -> None:
        await exchange.head()
        for number in range(5):
            await asyncio.wait_for(asked.get(), 2)
            await exchange.chunk(event(text(str(number))))
        await exchange.chunk(event(stop()) + DONE)
        await exchange.end()

    asked: asyncio.Queue[None] = asyncio.Queue()
    async with (
        serving(turns) as (provider, _),
        aclosing(provider.stream(call())) as stream,  # type: ignore[type-var]
    ):
        for number in range(5):
            asked.put_nowait(None)
            group = await asyncio.wait_for(anext(stream), 2)
            assert group == [TextDelta(str(number))]


async def test_reasoning_has_two_names() -> None:
    pieces = [{"reasoning_content": "h"}, {"reasoning": "m", "content": "a"}]
    deltas, _ = await answer(*(event({"choices": [{"delta": piece}]}) for piece in pieces), event(stop()))
    assert deltas == [ReasoningDelta("h"), ReasoningDelta("m"), TextDelta("a")]


def calls(*pieces: dict[str, Any]) -> bytes:
    return event({"choices": [{"delta": {"content": None, "tool_calls": list(pieces)}}]})


def tool_calls(deltas: list[Delta]) -> object:
    now = datetime.now(UTC)
    return assembled(Event(1, 1, now, delta) for delta in deltas)["tool_calls"]


async def test_tool_calls_come_in_pieces() -> None:
    deltas, done = await answer(
        calls({"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": ""}}),
        calls({"index": 0, "function": {"arguments": '{"q":'}}),
        calls({"index": 1, "id": "c2", "function": {"name": "find", "arguments": "{}"}}),
        calls({"index": 0, "function": {"arguments": '"x"}'}}),
        event(stop("tool_calls")),
        DONE,
    )
    assert deltas[0] == ToolCallDelta(0, "c1", "look", "")
    assert tool_calls(deltas) == (ToolCall("c1", "look", '{"q":"x"}'), ToolCall("c2", "find", "{}"))
    assert done.finish_reason is FinishReason.TOOL_CALLS


@pytest.mark.parametrize("index", [{}, {"index": 0}, {"index": None}])
async def test_calls_that_are_not_numbered_are_told_apart_by_their_ids(index: dict[str, Any]) -> None:
    deltas, _ = await answer(
        calls({**index, "id": "c1", "function": {"name": "look", "arguments": "{"}}),
        calls({**index, "id": "c1", "function": {"name": "look", "arguments": "}"}}),
        calls({**index, "id": "c2", "function": {"name": "find", "arguments": "{}"}}),
        event(stop("tool_calls")),
    )
    assert tool_calls(deltas) == (ToolCall("c1", "look", "{}"), ToolCall("c2", "find", "{}"))


async def test_a_character_that_was_torn_apart_is_whole_again() -> None:
    deltas, _ = await answer(
        rb'data: {"choices":[{"delta":{"content":"Hi \ud83d"}}]}' + b"\n\n",
        event({"choices": [{"delta": {"reasoning": "hm"}}]}),
        rb'data: {"choices":[{"delta":{"content":"\udc4b!"}}]}' + b"\n\n",
        event(stop()),
    )
    assert words(deltas) == "Hi 👋!"


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (rb'"a\ud83d"', "a"),
        (rb'"\udc4bb"', "�b"),
        (rb'"a\ud83db"', "a�b"),
        (rb'"a\u0000b"', "a�b"),
        (b'"a\xffb"', "a�b"),
        (rb'"\ud83d\udc4b"', "👋"),
    ],
)
async def test_what_is_no_character_breaks_no_record(content: bytes, shown: str) -> None:
    piece = b'{"content":' + content + b',"tool_calls":[{"id":' + content + b',"function":{"name":' + content
    piece += b',"arguments":' + content + b"}}]}"
    deltas, _ = await answer(b'data: {"choices":[{"delta":' + piece + b"}]}\n\n", event(stop()))
    assert words(deltas) == shown
    events = [Event(seq, seq, datetime.now(UTC), delta) for seq, delta in enumerate(deltas, 1)]
    payload = events_to_bytes(events)
    assert b"\0" not in "".join(str(event.body) for event in events).encode()
    assert events_from_bytes(payload) == events


# -- endpoints that fail


def answering_with(status: int, kind: str, body: bytes, **headers: str) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(status, kind, body, **headers)

    return script


def said(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "x"}}).encode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ProviderRefused),
        (401, ProviderCredential),
        (403, ProviderCredential),
        (404, ProviderRefused),
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
        await exchange.head(404, "application/json")
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
    async with upstream(_hello) as gone:
        address = gone.base_url
    async with aiohttp.ClientSession() as session:
        for base_url in (address, "http://no-such-host.invalid/v1"):
            provider = OpenAIProvider(session, base_url, KEY, PATIENT, "m", "p")
            with pytest.raises(ProviderUnavailable):
                await read(provider)


async def test_a_redirect_is_not_followed() -> None:
    async with upstream(_hello) as elsewhere:
        script = answering_with(307, "text/plain", b"", Location=f"{elsewhere.base_url}/chat/completions")
        assert type(await refusal(script)) is ProviderRefused
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
