"""An OpenAI-compatible endpoint that plays a script on a real socket, byte by byte as a test wants it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Script = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One request, and the connection to answer it on. `gone` is set when the caller has closed its side."""

    line: str
    headers: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, status: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        """A chunked answer's head; in header names `_` stands for `-`."""
        lines = [f"HTTP/1.1 {status} Said", f"Content-Type: {kind}", "Transfer-Encoding: chunked"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.raw("\r\n".join([*lines, "", ""]).encode())

    async def chunk(self, data: bytes) -> None:
        """Some bytes of a chunked answer, in a packet of their own."""
        if data:
            await self.raw(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def end(self) -> None:
        """The end of a chunked answer; the connection stays open."""
        await self.raw(b"0\r\n\r\n")

    async def answer(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        """A whole answer."""
        await self.head(status, kind, **headers)
        await self.chunk(body)
        await self.end()

    async def says(self, *chunks: object, done: bool = True) -> None:
        """A whole stream: each chunk as an event, then [DONE]."""
        await self.head()
        for one in chunks:
            await self.chunk(event(one))
        if done:
            await self.chunk(b"data: [DONE]\n\n")
        await self.end()

    def reset(self) -> None:
        """Break the connection off."""
        self.writer.transport.abort()


def event(content: object) -> bytes:
    """A server-sent event with this JSON."""
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def text(words: str) -> dict[str, Any]:
    """A chunk that adds words."""
    return {"choices": [{"index": 0, "delta": {"content": words}}]}


def stop(reason: str = "stop") -> dict[str, Any]:
    """The chunk that says why the answer ended."""
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}


def used(prompt: int, completion: int, **details: Any) -> dict[str, Any]:
    """The chunk that tells what was used."""
    return {
        "choices": [],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, **details},
    }


@dataclass
class Upstream:
    """The endpoint. `exchanges` are the requests that came, `connections` how many sockets they came on."""

    base_url: str = ""
    exchanges: list[Exchange] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def upstream(script: Script) -> AsyncIterator[Upstream]:
    """Plays `script` for every request that comes."""
    state = Upstream()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        state.connections += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while True:
                    await _exchange(reader, writer)
        finally:
            tasks.discard(task)
            writer.close()

    async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = (line.split(": ", 1) for line in lines[1:] if line)
        headers = {name.lower(): value for name, value in fields}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        exchange = Exchange(lines[0], headers, body, writer)
        state.exchanges.append(exchange)
        playing = asyncio.ensure_future(script(exchange))
        watching = asyncio.create_task(_watch(reader, exchange))
        try:
            await playing
            if writer.transport.is_closing():
                raise ConnectionResetError
        finally:
            playing.cancel()
            watching.cancel()
            await asyncio.gather(playing, watching, return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    state.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield state
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def _watch(reader: asyncio.StreamReader, exchange: Exchange) -> None:
    # Callers send nothing before they have the answer, so this only notices that the connection is closed, and takes no byte.
    with contextlib.suppress(ConnectionError):
        await reader._wait_for_data("watch")  # type: ignore[attr-defined]
    exchange.gone.set()
