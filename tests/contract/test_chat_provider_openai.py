"""How the OpenAI-compatible provider asks, and how it reads streams as they come."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest

from services.capabilities.metering.model import Unit
from services.chat.generation.merging import assembled
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
from services.chat.ports import Done, ModelCall
from services.chat.providers.openai import Timeouts
from tests.fakes.chat_endpoints import (
    DONE,
    KEY,
    answer,
    call,
    calls,
    hello,
    read,
    sending,
    serving,
    words,
)
from tests.fakes.chat_upstream import Exchange, event, stop, text, used


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
    async with serving(hello) as (provider, endpoint):
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
    async with serving(hello, key=None) as (provider, endpoint):
        await read(provider)
    assert "authorization" not in endpoint.exchanges[0].headers


async def test_calls_one_after_the_other_use_one_connection() -> None:
    async def ends_later(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.chunk(event(text("a")) + event(stop()) + DONE)
        await asyncio.sleep(0.001)
        await exchange.end()

    async with serving(hello) as (provider, endpoint):
        for _ in range(4):
            await read(provider)
    assert endpoint.connections == 1
    async with serving(ends_later) as (provider, endpoint):
        for _ in range(8):
            await read(provider)
    assert endpoint.connections < 8


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
