"""Google Translate's voices, by the protocol of its own page, as the project gTTS documents it. It is no official API, and takes no key.

A part of at most 100 characters is a POST to `batchexecute` with the form field `f.req`, JSON that calls the procedure `jQ1olc` with
`[text, language, speed, "null"]` as JSON in a text; a speed of null is the normal one. The answer has lines, some of them JSON: the row
`["wrb.fr", "jQ1olc", result, …]` of one has the result as JSON in a text again, whose first item is MP3 at 24 kHz in base64.
"""

from __future__ import annotations

import binascii
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from services.capabilities.upstream.turns import Turns
from services.speech.model import Batch, Ending, Segment, Voice
from services.speech.ports import Studio, Task
from services.speech.providers.exchange import Exchange, Request
from services.speech.providers.gtts_languages import LANGUAGES
from services.speech.providers.parts import PartByPart
from services.speech.text import grouped

LONGEST = 100
SAMPLE_RATE = 24_000
_PATH = "/_/TranslateWebserverUi/data/batchexecute"
_PROCEDURE = "jQ1olc"
_ROW = "wrb.fr"
# A hundred characters are some ten seconds, and these some fifty kilobytes. All of it is parsed at once.
_MOST_BYTES = 2 * 1024**2


class GttsSpeaker:
    """The voices of Google Translate, one for each language. It has one speed."""

    def __init__(self, exchange: Exchange, studio: Studio, turns: Turns) -> None:
        self._exchange = exchange
        self._parts = PartByPart(studio, turns, exchange.model, exchange.provider, exchange.bounds.total)
        self._voices = tuple(
            Voice(language.tag, language.name, language.tag, SAMPLE_RATE, language.upstream)
            for language in sorted(LANGUAGES, key=lambda language: language.tag)
        )

    def speak(self, task: Task) -> AsyncIterator[Batch | Ending]:
        """As the port says. A part of which nothing can be pronounced is left out: it would be answered without audio."""
        parts = [part for part in grouped(task.segments, LONGEST) if any(map(str.isalnum, part.text))]

        async def ask(part: Segment) -> bytes:
            answer = await self._exchange.answer(self._request(part.text, task.voice))
            return self._exchange.checked(self._audio(answer))

        return self._parts.spoken(task.format, parts, ask)

    async def voices(self) -> Sequence[Voice]:
        """As the port says."""
        return self._voices

    def _request(self, text: str, language: str) -> Request:
        parameters = _json([text, language, None, "null"])
        calls = _json([[[_PROCEDURE, parameters, None, "generic"]]])
        return Request(
            path=_PATH,
            body=urlencode({"f.req": calls}).encode(),
            content_type="application/x-www-form-urlencoded;charset=utf-8",
            accept="*/*",
            limit=_MOST_BYTES,
            headers={"Referer": self._exchange.base_url + "/"},
        )

    def _audio(self, answer: bytes) -> bytes:
        try:
            result = _result(answer)
            if result is None:
                raise self._exchange.mistaken("answered without audio")
            return binascii.a2b_base64(result, strict_mode=True)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise self._exchange.mistaken("answered with what is not its protocol") from None
        except ValueError:
            raise self._exchange.mistaken("sent audio that is not in base64") from None


def _json(content: object) -> str:
    return msgspec.json.encode(content).decode()


def _result(answer: bytes) -> str | None:
    """The base64 of the answer; None when it has none. Raises what msgspec raises."""
    for line in answer.splitlines():
        if f'"{_PROCEDURE}"'.encode() not in line:
            continue
        for row in _list(msgspec.json.decode(line)):
            fields = _list(row)
            if fields[:2] == [_ROW, _PROCEDURE] and len(fields) > 2 and isinstance(fields[2], str):
                items = _list(msgspec.json.decode(fields[2]))
                return items[0] if items and isinstance(items[0], str) and items[0] else None
    return None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
