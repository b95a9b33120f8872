"""An answer as it arrives: for a terminal, for a pipe, for a program."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Protocol

from services.cli.output import as_dict, note, print_json, shown

if TYPE_CHECKING:
    from antiphon.chat.v1 import chat_pb2

_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


class Answer(Protocol):
    """Shows the events of one answer, each at once."""

    def show(self, event: chat_pb2.ChatEvent) -> None:
        """Shows an event; the first `started`, the last `finished`, unless the answer breaks off."""

    def remark(self, text: str) -> None:
        """Says something about the answer while it is being written, on standard error."""

    def interrupted(self) -> None:
        """Told that somebody pressed Ctrl-C, of which a terminal shows something."""

    def complete(self, generation: chat_pb2.Generation) -> None:
        """Shows what is left of an answer that has ended, when its events can't be had."""

    def end(self) -> None:
        """Told that nothing more comes, whatever the reason. May be called twice."""


def answer_for(as_json: bool, *, with_usage: bool = False) -> Answer:
    """What fits standard output."""
    if as_json:
        return JsonAnswer()
    return TextAnswer(on_terminal=sys.stdout.isatty(), with_usage=with_usage)


class JsonAnswer:
    """One JSON object per line and event, as proto JSON."""

    def show(self, event: chat_pb2.ChatEvent) -> None:
        """Prints the event."""
        print_json(as_dict(event))

    def remark(self, text: str) -> None:
        """Notes it: no line of the output is anything but an event."""
        note(text)

    def interrupted(self) -> None:
        """No line is open."""

    def complete(self, generation: chat_pb2.Generation) -> None:
        """Notes it: no event is made up."""
        note("(cancelled; its last events can't be read: the text is on record)")

    def end(self) -> None:
        """Nothing is left to print."""


class TextAnswer:
    """The text as it is written: in a pipe the text alone; on a terminal with the model's reasoning, dimmed, before it."""

    def __init__(self, *, on_terminal: bool, with_usage: bool = False) -> None:
        self._on_terminal = on_terminal
        self._with_usage = with_usage
        self._styled = on_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self._reasons = False
        self._at_line_start = True
        self._length = 0
        self._calls: dict[int, chat_pb2.ToolCallDelta] = {}
        self._citations: list[chat_pb2.Citation] = []

    def show(self, event: chat_pb2.ChatEvent) -> None:
        """Writes what the event adds."""
        kind = event.WhichOneof("event")
        if kind == "text_delta":
            self._leave_reasoning()
            self._length += len(event.text_delta.text)
            self._write(shown(event.text_delta.text, self._on_terminal))
        elif kind == "reasoning_delta" and self._on_terminal:
            if not self._reasons:
                self._reasons = True
                self._style(_DIM)
            self._write(shown(event.reasoning_delta.text, True))
        elif kind == "tool_call_delta":
            self._add(event.tool_call_delta)
        elif kind == "citation":
            self._citations.append(event.citation)
        elif kind == "fallback":
            instead = event.fallback
            self.remark(
                f"({instead.failed_model} did not answer ({instead.error_reason}); {instead.model} answers)"
            )
        elif kind == "finished":
            self._finish(event.finished)

    def remark(self, text: str) -> None:
        """Notes it, on a terminal on a line of its own. What is piped on has no gap where it was said."""
        if self._on_terminal:
            self.end()
        note(text)

    def interrupted(self) -> None:
        """Leaves the line that the terminal has shown `^C` on, unless the answer's own end does so."""
        if (self._at_line_start or not self._on_terminal) and sys.stderr.isatty():
            print(file=sys.stderr, flush=True)

    def complete(self, generation: chat_pb2.Generation) -> None:
        """Writes the rest of the text."""
        from antiphon.chat.v1 import chat_pb2

        rest = generation.text[self._length :]
        self.show(chat_pb2.ChatEvent(text_delta=chat_pb2.TextDelta(text=rest)))
        self._finish(chat_pb2.Finished(reason=generation.finish_reason, usage=generation.usage))

    def end(self) -> None:
        """Ends the line."""
        self._leave_reasoning()
        if not self._at_line_start:
            self._write("\n")

    def _add(self, delta: chat_pb2.ToolCallDelta) -> None:
        known = self._calls.setdefault(delta.index, type(delta)())
        known.name = known.name or delta.name
        known.arguments_json += delta.arguments_json

    def _finish(self, finished: chat_pb2.Finished) -> None:
        from antiphon.chat.v1 import chat_pb2

        self.end()
        for index in sorted(self._calls):
            note(f"tool call: {self._calls[index].name}({self._calls[index].arguments_json})")
        for citation in self._citations:
            note(f"source: {f'{citation.title} {citation.uri}'.strip()}")
        if finished.reason == chat_pb2.FINISH_REASON_LENGTH:
            note("(the answer reached its limit of tokens)")
        elif finished.reason == chat_pb2.FINISH_REASON_CONTENT_FILTER:
            note("(the provider withheld the rest)")
        elif finished.reason == chat_pb2.FINISH_REASON_CANCELLED:
            written = self._length or self._calls
            note(f"(cancelled; {'what was written is kept' if written else 'nothing was written yet'})")
        if self._with_usage and finished.usage.quantities:
            from services.cli.quantities import described

            note(f"({described(finished.usage)})")

    def _leave_reasoning(self) -> None:
        if self._reasons:
            self._reasons = False
            self._style(_PLAIN)
            self._write("\n" if self._at_line_start else "\n\n")

    def _style(self, sequence: str) -> None:
        if self._styled:
            sys.stdout.write(sequence)

    def _write(self, text: str) -> None:
        if text:
            sys.stdout.write(text)
            sys.stdout.flush()
            self._at_line_start = text.endswith("\n")
