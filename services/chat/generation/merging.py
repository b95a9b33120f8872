"""Deltas and events of one kind, made one; and what a record adds up to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from services.chat.model import (
    Delta,
    Event,
    Fallback,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
)

# Deltas are merged up to this many characters, so that no event outgrows what a gRPC client takes by default.
MERGED_LENGTH = 256 * 1024


class Merge:
    """Adjacent deltas of one kind on their way to become one event; a fallback stays alone."""

    __slots__ = ("_delta", "_first_seq", "_length", "_pieces", "_seq", "_time")

    def __init__(self, seq: int, time: datetime, delta: Delta | Fallback) -> None:
        self._first_seq = self._seq = seq
        self._time = time
        self._delta = delta
        self._pieces = [_piece(delta)]
        self._length = len(self._pieces[0])

    def takes(self, delta: Delta) -> bool:
        if type(delta) is not type(self._delta) or self._length + len(_piece(delta)) > MERGED_LENGTH:
            return False
        if isinstance(delta, ToolCallDelta) and isinstance(self._delta, ToolCallDelta):
            return delta.index == self._delta.index and not delta.tool_call_id and not delta.name
        return True

    def take(self, seq: int, delta: Delta) -> None:
        self._seq = seq
        piece = _piece(delta)
        self._pieces.append(piece)
        self._length += len(piece)

    def event(self) -> Event:
        text = "".join(self._pieces)
        delta = self._delta
        body: Delta | Fallback
        if isinstance(delta, Fallback):
            body = delta
        elif isinstance(delta, TextDelta):
            body = TextDelta(text)
        elif isinstance(delta, ReasoningDelta):
            body = ReasoningDelta(text)
        else:
            body = replace(delta, arguments=text)
        return Event(self._first_seq, self._seq, self._time, body)


def _piece(delta: Delta | Fallback) -> str:
    if isinstance(delta, Fallback):
        return ""
    return delta.arguments if isinstance(delta, ToolCallDelta) else delta.text


def size_of(delta: Delta) -> int:
    text = _piece(delta)
    if isinstance(delta, ToolCallDelta):
        text += delta.tool_call_id + delta.name
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def merged(events: Sequence[Event]) -> Sequence[Event]:
    """The same events, adjacent text deltas as one, so that a watcher that fell behind catches up with fewer messages."""
    if len(events) < 2:
        return events
    result: list[Event] = []
    run: list[Event] = []
    length = 0
    for event in events:
        size = len(event.body.text) if isinstance(event.body, TextDelta | ReasoningDelta) else 0
        if run and (type(event.body) is not type(run[0].body) or length + size > MERGED_LENGTH):
            result.append(_joined(run))
            run, length = [], 0
        if isinstance(event.body, TextDelta | ReasoningDelta):
            run.append(event)
            length += size
        else:
            result.append(event)
    if run:
        result.append(_joined(run))
    return result


def _joined(run: Sequence[Event]) -> Event:
    if len(run) == 1:
        return run[0]
    text = "".join(event.body.text for event in run if isinstance(event.body, TextDelta | ReasoningDelta))
    body = TextDelta(text) if isinstance(run[0].body, TextDelta) else ReasoningDelta(text)
    return Event(run[0].first_seq, run[-1].seq, run[0].time, body)


def assembled(events: Iterable[Event]) -> dict[str, object]:
    """What the events of a record add up to: `text`, `reasoning` and `tool_calls`, as Generation has them, and `model` and `provider` when
    they are not those that the generation began with."""
    answering: dict[str, object] = {}
    text: list[str] = []
    reasoning: list[str] = []
    calls: dict[int, list[str]] = {}
    for event in events:
        body = event.body
        if isinstance(body, TextDelta):
            text.append(body.text)
        elif isinstance(body, ReasoningDelta):
            reasoning.append(body.text)
        elif isinstance(body, ToolCallDelta):
            call = calls.setdefault(body.index, ["", "", ""])
            call[0] = call[0] or body.tool_call_id
            call[1] = call[1] or body.name
            call[2] += body.arguments
        elif isinstance(body, Fallback):
            answering = {"model": body.model, "provider": body.provider}
    return {
        **answering,
        "text": "".join(text),
        "reasoning": "".join(reasoning),
        "tool_calls": tuple(ToolCall(*calls[index]) for index in sorted(calls)),
    }
