"""OpenAI's chat completions as they travel: the request, and only those fields of an answer that are used."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from math import isfinite
from secrets import token_hex
from typing import Annotated, Any

import msgspec

from services.capabilities.metering.model import Provenance, Unit, Usage
from services.chat.model import (
    Delta,
    FinishReason,
    Image,
    Message,
    Part,
    Picture,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from services.chat.ports import ModelCall


class Function(msgspec.Struct):
    """A piece of a function call."""

    name: str | None = None
    arguments: str | None = None


class ToolCallPiece(msgspec.Struct):
    """A piece of a tool call."""

    index: Annotated[int, msgspec.Meta(ge=0, le=1023)] | None = None
    id: str | None = None
    function: Function | None = None


class DeltaPiece(msgspec.Struct):
    """What a chunk adds. Providers disagree on the name of reasoning."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCallPiece] | None = None


class Choice(msgspec.Struct):
    """One of the answers; only the first is asked for."""

    delta: DeltaPiece | None = None
    finish_reason: str | None = None


class PromptDetails(msgspec.Struct):
    """What `prompt_tokens` is made of."""

    cached_tokens: float | None = None


class CompletionDetails(msgspec.Struct):
    """What `completion_tokens` is made of."""

    reasoning_tokens: float | None = None


class Tokens(msgspec.Struct):
    """What was used, as the provider counts."""

    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class Chunk(msgspec.Struct):
    """An event of the stream."""

    choices: list[Choice] | None = None
    usage: Tokens | None = None
    error: Any = None


class NotProtocol(Exception):
    """Bytes that are not JSON, or not of this protocol."""


_decode = msgspec.json.Decoder(Chunk).decode


def decode(data: bytes) -> Chunk:
    """A chunk from its JSON. Texts may hold halves of UTF-16 pairs; `Deltas` mends them. Raises NotProtocol."""
    try:
        try:
            return _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # A model writes in tokens, and a token may end within a character: escapes of half a pair, and bytes that are no
            # UTF-8, are worth reading on.
            return msgspec.convert(json.loads(data.decode(errors="replace")), Chunk)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise NotProtocol from None


_MOST_TOKENS = 10**12

_FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
}


def finish_reason(text: str) -> FinishReason:
    """The reason; one that is not known is taken as the model being done."""
    return _FINISH_REASONS.get(text, FinishReason.STOP)


class Deltas:
    """Makes deltas of the pieces of one answer, in their order."""

    def __init__(self) -> None:
        self._halves: dict[str, str] = {}
        self._calls: dict[int, tuple[str, int]] = {}
        self._next_call = 0

    def of(self, piece: DeltaPiece) -> list[Delta]:
        """What a piece adds to the record."""
        found: list[Delta] = []
        if (reasoning := piece.reasoning_content or piece.reasoning) and (
            text := self._mended("reasoning", reasoning)
        ):
            found.append(ReasoningDelta(text))
        if piece.content and (text := self._mended("content", piece.content)):
            found.append(TextDelta(text))
        for call in piece.tool_calls or ():
            function = call.function or Function()
            index = self._index(call)
            found.append(
                ToolCallDelta(
                    index,
                    self._mended("", call.id or ""),
                    self._mended("", function.name or ""),
                    self._mended(f"call {index}", function.arguments or ""),
                )
            )
        return found

    def _index(self, call: ToolCallPiece) -> int:
        # Some providers number all calls of an answer with 0, or not at all: then a new id is a new call.
        id_, index = self._calls.get(call.index or 0, ("", -1))
        if index < 0 or (call.id and id_ and call.id != id_):
            id_, index = call.id or "", self._next_call
            self._next_call += 1
        self._calls[call.index or 0] = id_ or call.id or "", index
        return index

    def _mended(self, channel: str, text: str) -> str:
        """The text with halves of UTF-16 pairs put together, also across pieces, and without what can't be stored."""
        # PostgreSQL's text has no U+0000, and a model may well write one.
        text = text.replace("\0", "\ufffd")
        if text.isascii() and channel not in self._halves:
            return text
        text = self._halves.pop(channel, "") + text
        try:
            text.encode()
        except UnicodeEncodeError:
            if channel and "\ud800" <= text[-1] <= "\udbff":
                self._halves[channel] = text[-1]
                text = text[:-1]
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text


def usage(tokens: Tokens) -> Usage | None:
    """The quantities, made disjoint; None when nothing was counted."""
    read, made = tokens.prompt_tokens_details, tokens.completion_tokens_details
    cached = _count(read.cached_tokens if read else None)
    reasoning = _count(made.reasoning_tokens if made else None)
    counted = {
        Unit.INPUT_TOKENS: max(_count(tokens.prompt_tokens) - cached, 0),
        Unit.CACHED_INPUT_TOKENS: cached,
        Unit.OUTPUT_TOKENS: max(_count(tokens.completion_tokens) - reasoning, 0),
        Unit.REASONING_TOKENS: reasoning,
    }
    quantities = {unit: amount for unit, amount in counted.items() if amount > 0}
    return Usage(quantities, Provenance.REPORTED) if quantities else None


def _count(number: float | None) -> int:
    """A count that can be stored; 0 for what is none."""
    return int(number) if number is not None and isfinite(number) and 0 < number <= _MOST_TOKENS else 0


def request_body(call: ModelCall) -> list[bytes | Picture]:
    """The JSON of a streamed chat completion, in pieces that follow one another. A picture stands for its bytes in base64: those of large ones
    would hold the loop if they were all made at once, and memory while they are sent."""
    # Nobody who writes messages knows it.
    mark, pictures = token_hex(16).encode(), list[Picture]()

    def shown(image: Image) -> msgspec.Raw:
        picture = call.pictures[image]
        pictures.append(picture)
        return msgspec.Raw(b'"data:%s;base64,%s"' % (picture.content_type.encode(), mark))

    texts = _encoded(call, shown).split(mark) if call.pictures else [_encoded(call, shown)]
    pieces: list[bytes | Picture] = [texts[0]]
    for picture, text in zip(pictures, texts[1:], strict=True):
        pieces += (picture, text)
    return pieces


def _encoded(call: ModelCall, shown: Callable[[Image], msgspec.Raw]) -> bytes:
    parameters = call.parameters
    body: dict[str, Any] = {
        "model": call.upstream_model,
        "messages": [_message(message, shown) for message in call.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if parameters.temperature is not None:
        body["temperature"] = parameters.temperature
    if parameters.top_p is not None:
        body["top_p"] = parameters.top_p
    if parameters.max_output_tokens is not None:
        body["max_tokens"] = parameters.max_output_tokens
    if parameters.stop:
        body["stop"] = list(parameters.stop)
    if parameters.seed is not None:
        body["seed"] = parameters.seed
    if parameters.json_schema is not None:
        schema = {"name": "answer", "schema": msgspec.Raw(parameters.json_schema.encode())}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if call.tools:
        body["tools"] = _tools(call)
    return msgspec.json.encode(body)


def _tools(call: ModelCall) -> list[dict[str, Any]]:
    empty = {"type": "object", "properties": {}}
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": msgspec.Raw(tool.parameters.encode()) if tool.parameters else empty,
            },
        }
        for tool in call.tools
    ]


def _message(message: Message, shown: Callable[[Image], msgspec.Raw]) -> dict[str, Any]:
    made: dict[str, Any] = {"role": message.role.value, "content": message.text}
    if message.images:
        made["content"] = [_part(part, shown) for part in message.parts]
    if message.tool_calls:
        made["tool_calls"] = [
            {
                "id": call.tool_call_id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        made["tool_call_id"] = message.tool_call_id
    return made


def _part(part: Part, shown: Callable[[Image], msgspec.Raw]) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image_url", "image_url": {"url": shown(part)}}


def error_text(body: bytes) -> str:
    """The provider's own words for a failure, in one line; empty when there are none that can be understood."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return error_message(parsed.get("error", parsed) if isinstance(parsed, dict) else parsed)


def error_code(body: bytes) -> str:
    """The provider's own code for a failure; empty when it has none."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else ""


def error_message(error: object) -> str:
    """The same for an error object."""
    text = error.get("message") or error.get("detail") if isinstance(error, dict) else error
    if not isinstance(text, str):
        return ""
    # The words go into logs, statuses and the store, none of which takes every character.
    return " ".join("".join(one if one.isprintable() else " " for one in text[:2000]).split())


def first_choice(choices: Sequence[Choice] | None) -> Choice | None:
    """The answer that was asked for."""
    return choices[0] if choices else None
