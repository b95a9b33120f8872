"""A server on loopback that plays all three protocols of image providers, as well or as badly as a test wants.

    async with image_upstream() as upstream:
        upstream.answers(busy(429, after="3"), images())

Each request is answered by the next play, and by the last one from then on. Addresses: `upstream.at("openai")`, `"pollinations"`, `"huggingface"`.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from services.image.model import Size
from tests.fakes.image_codecs import picture

PROTOCOLS = ("openai", "pollinations", "huggingface")
_PATHS = {"openai": "/v1", "pollinations": "/prompt", "huggingface": "/hf"}
_DRIP_SECONDS = 0.02


@dataclass(frozen=True)
class Asked:
    """A request as it came. `count` images are wanted, of this `size`; `content` is its JSON, or its query."""

    method: str
    path: str
    headers: dict[str, str]
    content: dict[str, Any]

    @property
    def protocol(self) -> str:
        return next((name for name, path in _PATHS.items() if self.path.startswith(path + "/")), "")

    @property
    def count(self) -> int:
        return int(self.content.get("n", 1))

    @property
    def size(self) -> Size:
        if "size" in self.content:
            return Size.parse(self.content["size"])
        place = self.content.get("parameters", self.content)
        return Size(int(place.get("width", 8)), int(place.get("height", 8)))

    @property
    def seed(self) -> int:
        return int(self.content.get("parameters", self.content).get("seed", 0))


Play = Callable[[web.Request, Asked], Awaitable[web.StreamResponse]]


@dataclass
class ImageUpstream:
    """The server. `asked` are the requests that came; `closed` counts those whose callers went away before they were answered."""

    origin: str = ""
    asked: list[Asked] = field(default_factory=list)
    closed: int = 0
    _plays: list[Play] = field(default_factory=list)
    _is_over: bool = False

    def at(self, protocol: str) -> str:
        """The base_url for a protocol."""
        return self.origin + _PATHS[protocol]

    def answers(self, *plays: Play) -> None:
        """How the next requests are answered, one after the other; the last play stays."""
        self._plays = list(plays)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        content = json.loads(body) if body else dict(request.query)
        asked = Asked(
            request.method, request.path, {k.lower(): v for k, v in request.headers.items()}, content
        )
        self.asked.append(asked)
        play = self._plays.pop(0) if len(self._plays) > 1 else self._plays[0]
        try:
            return await play(request, asked)
        except (asyncio.CancelledError, ConnectionResetError):
            self.closed += not self._is_over
            raise


@asynccontextmanager
async def image_upstream() -> AsyncIterator[ImageUpstream]:
    """A server that makes images until it is told otherwise."""
    state = ImageUpstream()
    state.answers(images())
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


def images(revised: str = "") -> Play:
    """What was asked for: PNGs of the size, one colour each, by the seed and their place."""

    async def play(request: web.Request, asked: Asked) -> web.StreamResponse:
        made = [_drawn(asked, index) for index in range(asked.count)]
        return _sent(asked, made, revised)

    return play


def sends(data: bytes, kind: str = "image/png") -> Play:
    """These bytes in the place of each image, in whatever way the protocol has for it."""

    async def play(request: web.Request, asked: Asked) -> web.StreamResponse:
        return _sent(asked, [data] * asked.count, kind=kind)

    return play


def says(
    status: int, body: bytes | dict[str, Any] = b"", kind: str = "application/json", **headers: str
) -> Play:
    """This answer; in header names `_` stands for `-`."""

    async def play(request: web.Request, asked: Asked) -> web.StreamResponse:
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=content, headers={"Content-Type": kind, **fields})

    return play


def busy(status: int = 503, after: str | None = "0") -> Play:
    """No time now; come again after so many seconds."""
    return says(status, {"error": {"message": "busy"}}, **({} if after is None else {"Retry_After": after}))


def named(*urls: str) -> Play:
    """Images by their addresses (openai)."""
    return says(200, {"data": [{"url": url} for url in urls]})


def redirects(to: str, status: int = 307) -> Play:
    """Elsewhere."""
    return says(status, Location=to)


def breaks_off() -> Play:
    """The beginning of an answer, and then the end of the connection."""

    async def play(request: web.Request, asked: Asked) -> web.StreamResponse:
        response = await _begun(request, length=100_000)
        await response.write(b"\x89PNG\r\n")
        assert request.transport is not None
        request.transport.abort()
        return response

    return play


def claims(length: int) -> Play:
    """An answer that says how long it is, and is not there."""

    async def play(request: web.Request, asked: Asked) -> web.StreamResponse:
        await _begun(request, length=length)
        return await _forever()

    return play


def floods() -> Play:
    """An answer without an end, as fast as it is taken."""

    async def play(request: web.Request, asked: Asked) -> web.StreamResponse:
        response = await _begun(request)
        while True:
            await response.write(b" " * 65_536)

    return play


def drips() -> Play:
    """An answer of a byte now and then, without an end."""

    async def play(request: web.Request, asked: Asked) -> web.StreamResponse:
        response = await _begun(request)
        while True:
            await response.write(b"\x89")
            await asyncio.sleep(_DRIP_SECONDS)

    return play


def hangs(*, after_headers: bool = False) -> Play:
    """Nothing."""

    async def play(request: web.Request, asked: Asked) -> web.StreamResponse:
        if after_headers:
            await _begun(request)
        return await _forever()

    return play


async def _begun(request: web.Request, length: int | None = None) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "image/png"})
    response.content_length = length
    await response.prepare(request)
    return response


async def _forever() -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("nobody wakes it")


def _drawn(asked: Asked, index: int) -> bytes:
    return picture(asked.size, bytes([(asked.seed + index) % 256, 1, 2]))


def _sent(asked: Asked, made: list[bytes], revised: str = "", kind: str = "image/png") -> web.StreamResponse:
    if asked.protocol == "openai":
        entries: list[dict[str, str]] = [{"b64_json": base64.b64encode(data).decode()} for data in made]
        if revised:
            entries = [{**entry, "revised_prompt": revised} for entry in entries]
        return web.json_response({"created": 1, "data": entries})
    return web.Response(body=made[0], content_type=kind)
