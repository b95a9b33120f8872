"""Anything that speaks OpenAI's speech API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from services.capabilities.upstream.turns import Turns
from services.speech.model import Batch, Ending, Segment, Voice
from services.speech.ports import Studio, Task
from services.speech.providers.exchange import Exchange, Request
from services.speech.providers.parts import PartByPart
from services.speech.text import grouped

# What is joined of sentences: a minute and a half of audio, so that a part is there in time, and a failed one is soon made again.
_JOINED = 1500
_ACCEPT = "audio/*, application/octet-stream;q=0.8"


class OpenAISpeaker:
    """A model of an endpoint. `longest` is how many characters it takes at once, `response_format` what it is asked to send."""

    def __init__(
        self,
        exchange: Exchange,
        studio: Studio,
        turns: Turns,
        voices: Sequence[Voice],
        *,
        longest: int,
        response_format: str,
    ) -> None:
        self._exchange = exchange
        self._parts = PartByPart(studio, turns, exchange.model, exchange.provider, exchange.bounds.total)
        self._voices = tuple(sorted(voices, key=lambda voice: (voice.language, voice.name)))
        self._longest = longest
        self._response_format = response_format

    def speak(self, task: Task) -> AsyncIterator[Batch | Ending]:
        """As the port says."""
        # The slower it is spoken, the more audio a part has.
        joined = max(1, int(min(self._longest, _JOINED) * min(1.0, task.rate)))

        async def ask(part: Segment) -> bytes:
            return self._exchange.checked(await self._exchange.answer(self._request(task, part.text)))

        return self._parts.spoken(task.format, grouped(task.segments, joined), ask)

    async def voices(self) -> Sequence[Voice]:
        """As the port says."""
        return self._voices

    def _request(self, task: Task, text: str) -> Request:
        content: dict[str, Any] = {
            "model": task.upstream,
            "input": text,
            "voice": task.voice,
            "response_format": self._response_format,
        }
        # Some servers refuse what they do not know.
        if task.rate != 1:
            content["speed"] = task.rate
        return Request(
            path="/audio/speech",
            body=msgspec.json.encode(content),
            content_type="application/json",
            accept=_ACCEPT,
            limit=self._exchange.bounds.audio_bytes,
        )
