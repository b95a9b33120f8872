"""`echo`, the offline provider: no language model, and it says so."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence

from services.capabilities.metering.model import Provenance, Unit, Usage
from services.chat.model import Delta, FinishReason, Role, TextDelta
from services.chat.ports import Done, ModelCall

_PREFACE = "This is echo, Antiphon's built-in stand-in: no language model is behind it. You wrote: "
_WORD = re.compile(r"\s*\S+\s*?(?=\s|$)|\s+$")


class EchoProvider:
    """Answers with what was asked, word by word, at least `interval` seconds apart, so that streaming can be seen.

    It honours `max_output_tokens` (a word counts as a token) and `stop`, and reports words as tokens.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval

    async def stream(self, call: ModelCall) -> AsyncIterator[Sequence[Delta] | Done]:
        """As the port says; it never fails."""
        call.connected()
        asked = next((message.text for message in reversed(call.messages) if message.role is Role.USER), "")
        text, reason = _until_stop(_PREFACE + asked, call.parameters.stop)
        words = _WORD.findall(text)
        limit = call.parameters.max_output_tokens
        if limit is not None and len(words) > limit:
            words, reason = words[:limit], FinishReason.LENGTH
        for position, word in enumerate(words):
            if position:
                await asyncio.sleep(self._interval)
            yield (TextDelta(word),)
        read = sum(len(message.text.split()) for message in call.messages)
        quantities = {Unit.INPUT_TOKENS: read, Unit.OUTPUT_TOKENS: len(words)}
        quantities = {unit: amount for unit, amount in quantities.items() if amount}
        yield Done(reason, Usage(quantities, Provenance.REPORTED) if quantities else None)


def _until_stop(text: str, stops: Sequence[str]) -> tuple[str, FinishReason]:
    found = [position for stop in stops if (position := text.find(stop)) >= 0]
    return (text[: min(found)] if found else text), FinishReason.STOP
