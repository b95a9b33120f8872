"""OpenAI's chat completions as they come back: only those fields of an answer that are used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite
from typing import Annotated, Any

import msgspec

from services.capabilities.metering.model import Provenance, Unit, Usage
from services.chat.model import Delta, FinishReason, ReasoningDelta, TextDelta, ToolCallDelta


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


def first_choice(choices: Sequence[Choice] | None) -> Choice | None:
    """The answer that was asked for."""
    return choices[0] if choices else None
