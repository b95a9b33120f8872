"""A server on loopback that plays OpenAI's speech API and Google Translate, as well or as badly as a test wants.

    async with speech_upstream() as upstream:
        upstream.answers(busy(429, after="3"), speaks())

Each request is answered by the next play, and by the last one from then on. Addresses: `upstream.at("openai")`, `upstream.at("gtts")`. Plays
that have nothing to do with what is made are those of `tests.fakes.image_upstream`.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import math
import wave
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import parse_qs

from aiohttp import web

from tests.fakes.image_upstream import Asked, Play, says

PROTOCOLS = ("openai", "gtts")
_PATHS = {"openai": "/v1", "gtts": ""}
_GTTS_PATH = "/_/TranslateWebserverUi/data/batchexecute"
_PROCEDURE = "jQ1olc"
RATE = 24_000
SECONDS_A_CHARACTER = 0.02


@dataclass
class SpeechUpstream:
    """The server. `asked` are the requests that came, with what they are to speak as `input` and `voice`; `closed` counts those whose callers went
    away before they were answered."""

    origin: str = ""
    asked: list[Asked] = field(default_factory=list)
    closed: int = 0
    _plays: list[Play] = field(default_factory=list)
    _is_over: bool = False

    def at(self, protocol: str) -> str:
        """The base_url for a protocol."""
        return self.origin + _PATHS[protocol]

    @property
    def texts(self) -> list[str]:
        """What was to be spoken, in the order in which it was asked for."""
        return [one.content["input"] for one in self.asked]

    def answers(self, *plays: Play) -> None:
        """How the next requests are answered, one after the other; the last play stays."""
        self._plays = list(plays)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        content = _called(body) if request.path == _GTTS_PATH else json.loads(body or b"{}")
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(request.method, request.path, headers, content)
        self.asked.append(asked)
        play = self._plays.pop(0) if len(self._plays) > 1 else self._plays[0]
        try:
            return await play(request, asked)
        except (asyncio.CancelledError, ConnectionResetError):
            self.closed += not self._is_over
            raise


@asynccontextmanager
async def speech_upstream() -> AsyncIterator[SpeechUpstream]:
    """A server that speaks until it is told otherwise."""
    state = SpeechUpstream()
    state.answers(speaks())
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", state.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        state.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield state
    finally:
        state._is_over = True
        await runner.cleanup()


def speaks(*, after: asyncio.Event | None = None) -> Play:
    """A tone for what was asked for, as `wav` and `mp3` make it; with `after` not before that is set."""

    async def play(request: web.Request, asked: Asked) -> web.StreamResponse:
        if after is not None:
            await after.wait()
        return _sent(asked, spoken(asked))

    return play


def sends(data: bytes, kind: str = "audio/wav") -> Play:
    """These bytes in the place of the audio, in whatever way the protocol has for it."""

    async def play(request: web.Request, asked: Asked) -> web.StreamResponse:
        return _sent(asked, data, kind)

    return play


def results(result: object) -> Play:
    """This result of the procedure (gtts)."""
    return says(200, _answer(result), kind="application/json; charset=utf-8")


def spoken(asked: Asked) -> bytes:
    """What `speaks` has for a request."""
    text = asked.content["input"]
    return wav(text) if asked.content.get("response_format") == "wav" else mp3(text)


@lru_cache(maxsize=256)
def wav(text: str) -> bytes:
    """A tone, the longer the longer the text is, and the higher the later its first letter is in the alphabet."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(array("h", _tone(text)).tobytes())
    return file.getvalue()


@lru_cache(maxsize=256)
def mp3(text: str) -> bytes:
    """The same tone."""
    import soundfile

    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", samplerate=RATE, channels=1, format="MP3") as writer:
        writer.buffer_write(array("h", _tone(text)).tobytes(), "int16")
    return file.getvalue()


def _tone(text: str) -> list[int]:
    step = 2 * math.pi * (220 + ord(text[0]) % 32 * 20) / RATE
    return [
        round(8000 * math.sin(step * index)) for index in range(int(RATE * SECONDS_A_CHARACTER * len(text)))
    ]


def _called(body: bytes) -> dict[str, object]:
    form = parse_qs(body.decode(), strict_parsing=True)
    (((procedure, parameters, *rest),),) = json.loads(form["f.req"][0])
    text, language, speed, last = json.loads(parameters)
    return {
        "input": text,
        "voice": language,
        "form": [*form],
        "call": [procedure, *rest],
        "speed": speed,
        "last": last,
    }


def _sent(asked: Asked, data: bytes, kind: str = "audio/wav") -> web.StreamResponse:
    if asked.path == _GTTS_PATH:
        return web.Response(body=_answer([base64.b64encode(data).decode()]), content_type="application/json")
    return web.Response(body=data, content_type=kind)


def _answer(result: object) -> bytes:
    """As Google Translate answers: a guard, lengths, and lines of rows."""
    rows = [
        [
            "wrb.fr",
            _PROCEDURE,
            None if result is None else json.dumps(result),
            None,
            None,
            None,
            "generic",
        ],
        ["di", 61],
        ["af.httprm", 61, "-1234567890", 9],
    ]
    line = json.dumps(rows)
    return f')]}}\'\n\n{len(line)}\n{line}\n25\n[["e",4,null,null,123]]\n'.encode()
