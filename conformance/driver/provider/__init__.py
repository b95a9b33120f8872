"""A provider of models that fails as real ones do, in the way that the model's name says; the models are in the files beside it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from aiohttp import web

_FOLDER = Path(__file__).parent
# The server remembers it: at the end of a round, too, more is left than any client waits.
_RETRY_SECONDS = 600
_HELD_SECONDS = 60.0

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Provider:
    """Listens on a free port of the loopback interface, from `start` on, and speaks OpenAI's protocol."""

    def __init__(self) -> None:
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def start(self) -> None:
        """Serve, unless it does already."""
        if self._runner is not None:
            return
        application = web.Application()
        application.add_routes([web.post("/v1/{api:.*}", _answered)])
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """End it, and what is connected."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def settings(self) -> Mapping[str, str]:
        """What a suite has to be told so that its models are these, asked once each, and never left alone."""
        return {
            "OPENAI_BASE_URL": f"http://127.0.0.1:{self._port}/v1",
            "OPENAI_API_KEY": "conformance",
            "ANTIPHON_CHAT__MODELS_FILE": str(_FOLDER / "chat.toml"),
            "ANTIPHON_CHAT__RETRIES": "0",
            "ANTIPHON_CHAT__BREAKER_FAILURES": "0",
            "ANTIPHON_IMAGE__MODELS_FILE": str(_FOLDER / "image.toml"),
            "ANTIPHON_IMAGE__RETRIES": "0",
            "ANTIPHON_SPEECH__MODELS_FILE": str(_FOLDER / "speech.toml"),
            "ANTIPHON_SPEECH__RETRIES": "0",
        }


async def _answered(request: web.Request) -> web.StreamResponse:
    asked = await request.json()
    return await _ANSWERS[asked["model"]](request)


def _refusal(status: int, message: str, **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = {"error": {"message": message, "type": "conformance"}}
        return web.json_response(body, status=status, headers=headers)

    return answer


async def _silent(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(_HELD_SECONDS)
    raise web.HTTPGatewayTimeout


async def _garbage(request: web.Request) -> web.StreamResponse:
    if request.match_info["api"] == "chat/completions":
        return web.Response(body=b"data: {no JSON\n\n", content_type="text/event-stream")
    return web.Response(body=b"{no JSON", content_type="application/json")


async def _breaking(request: web.Request) -> web.StreamResponse:
    """The beginning of an answer, and then nobody is there any more."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for word in ("one ", "two ", "three "):
        chunk = {"choices": [{"index": 0, "delta": {"content": word}}]}
        await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    assert request.transport is not None
    request.transport.abort()
    return response


async def _unusable(request: web.Request) -> web.StreamResponse:
    """A picture that is none, or audio that is none."""
    if request.match_info["api"] == "images/generations":
        return web.json_response({"data": [{"b64_json": base64.b64encode(b"no picture").decode()}]})
    # A text would be taken for a message.
    return web.Response(body=b"\0\xfe" * 32, content_type="audio/wav")


_ANSWERS: Mapping[str, Answer] = {
    "refusing": _refusal(400, "it asks for too much"),
    "keyless": _refusal(401, "the key is wrong"),
    "limiting": _refusal(429, "too many requests", **{"Retry-After": str(_RETRY_SECONDS)}),
    "failing": _refusal(500, "it broke"),
    "silent": _silent,
    "garbage": _garbage,
    "breaking": _breaking,
    "unusable": _unusable,
}
